"""Which figures there are, and what each is compared with, in the order of the table."""

from __future__ import annotations

from ..model import Experiment
from . import (
    access,
    artifacts,
    backup,
    chat,
    conversation,
    deleting,
    flights,
    hooks,
    inserting,
    latency,
    messages,
    migrating,
    population,
    recording,
    scopes,
    scripts,
    secrets,
    timeline,
    turns,
)

EXPERIMENTS: tuple[Experiment, ...] = (
    messages.TELLS,
    turns.OPEN_LOOP,
    turns.CLOSED_LOOP,
    latency.LONE,
    chat.CHAT,
    conversation.CONVERSATION,
    messages.SNAPSHOT,
    population.ACTIVATION,
    population.MEMORY,
    population.CREATED,
    population.MILLION,
    deleting.DELETING,
    flights.FLIGHTS,
    backup.BACKUP,
    migrating.MIGRATING,
    hooks.HOOKS,
    scopes.SCOPES,
    scopes.MILLION_KEYS,
    access.ACCESS,
    artifacts.ARTIFACTS,
    secrets.DETECTOR,
    timeline.TIMELINE,
    recording.RECORDING,
    scripts.SCRIPTS,
    inserting.INSERT,
)
