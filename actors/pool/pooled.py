"""A pykka actor that runs on a shared pool of threads instead of one of its own."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import AbstractContextManager
from typing import Any, cast

from pykka import Actor, ActorDeadError, ActorRegistry
from pykka._actor import ActorInbox
from pykka._envelope import Envelope
from pykka.messages import _ActorStop

from .dispatcher import Dispatcher, default_dispatcher
from .future import Future, wake
from .mailbox import Mailbox, Outcome

logger = logging.getLogger("pykka")


class PooledInbox(Mailbox):
    """A mailbox that keeps pykka's promise: a closed one answers instead of swallowing."""

    __slots__ = ()

    def may_block(self) -> None:
        """Allow it everywhere, as pykka does."""

    def help(self, future: Future[Any]) -> None:
        """Leave the turn to the pool: pykka's actors expect not to run on their caller's thread."""

    def waiting(self, future: Future[Any]) -> AbstractContextManager[None]:  # noqa: ARG002 - as Helper has it
        """Lend the waiting worker's place in the pool."""
        return (self._dispatcher or default_dispatcher()).blocking()

    def wake(self, loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None]) -> None:
        """Finish a loop's waiter at once."""
        wake(loop, waiter)

    def put(self, envelope: Envelope[Any], /, *, offer: bool = False) -> bool:
        """Append an envelope; an ask to a stopped actor is answered with ActorDeadError."""
        if isinstance(envelope.reply_to, Future):
            envelope.reply_to.helper = self
        if super().put(envelope, offer=offer):
            return True
        refuse(envelope)
        return False


class PooledActor(Actor):
    """Behave as a pykka actor in everything, without a thread of its own.

    Thousands of them share a few threads: an actor takes part when it has messages. Nothing in an
    actor may be bound to a thread. A handler that waits for something other than a future should
    say so with the dispatcher's ``blocking()``.
    """

    dispatcher: Dispatcher | None = None
    """The pool to run on; None for the one all pooled actors share."""

    @staticmethod
    def _create_actor_inbox() -> ActorInbox:
        return PooledInbox()  # type: ignore[return-value]

    @staticmethod
    def _create_future() -> Future[Any]:
        return Future()

    def _start_actor_loop(self) -> None:
        inbox = self._inbox()
        # The first envelope is on_start itself, so that it runs before every message.
        inbox.put_urgent(Envelope(_Start()))
        inbox.attach(self, self.dispatcher or default_dispatcher())

    def _inbox(self) -> Mailbox:
        return cast("Mailbox", self.actor_inbox)

    def receive(self, envelope: Envelope[Any]) -> Outcome | None:
        """Handle one envelope as pykka's actor loop does, and answer every asker."""
        if isinstance(envelope.message, _Start):
            self._actor_loop_setup()
        else:
            self._receive_message(envelope)
        if self.actor_stopped.is_set():
            for left in self._inbox().close():
                refuse(left)
            return Outcome.GONE
        return None

    def recover(self, envelope: Envelope[Any]) -> None:
        """Tell the asker: how far the actor came nobody knows."""
        reply_to = envelope.reply_to
        if isinstance(reply_to, Future):
            reply_to.fail(RuntimeError(f"{self} was interrupted at the message"))

    def broke(self, envelope: Envelope[Any], error: BaseException) -> None:
        """Tell the asker; what a handler raises never comes this far."""
        logger.critical("%s could not answer a message", self, exc_info=error)
        if envelope.reply_to is not None:
            envelope.reply_to.set_exception((type(error), error, error.__traceback__))

    def _receive_message(self, envelope: Envelope[Any]) -> None:
        reply_to = envelope.reply_to
        try:
            response = self._handle_receive(envelope.message)
            if reply_to is not None:
                reply_to.set(response)
        except Exception:
            if reply_to is not None:
                logger.info("Exception returned from %s to caller:", self, exc_info=sys.exc_info())
                reply_to.set_exception()
            else:
                self._handle_failure(*sys.exc_info())
                try:
                    self.on_failure(*sys.exc_info())
                except Exception:  # noqa: BLE001 - it is logged there
                    self._handle_failure(*sys.exc_info())
        except BaseException as error:  # noqa: BLE001 - as pykka
            # pykka leaves the asker of such a turn waiting for ever; here it gets the error.
            if reply_to is not None:
                reply_to.set_exception()
            logger.debug("%r in %s. Stopping all actors.", error, self)
            self._stop()
            ActorRegistry.stop_all(block=False)

    def launch(self) -> None:
        """Do nothing: a pooled actor's turn never suspends."""

    def drained(self) -> None:
        """Do nothing at the end of a run."""


class _Start:
    """Ask an actor to run on_start."""


def refuse(envelope: Envelope[Any]) -> None:
    """Answer what a stopped actor will not handle: a stop is granted, an ask is refused."""
    reply_to = envelope.reply_to
    if reply_to is None:
        return
    if isinstance(envelope.message, _ActorStop):
        reply_to.set(None)
        return
    error = ActorDeadError("the actor stopped before handling the message")
    reply_to.set_exception((ActorDeadError, error, None))
