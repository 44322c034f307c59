"""Agents that outlive their process: typed durable state, exactly-once messages, supervision.

Names are imported when they are first used, so that `perdure --help` and the reading commands
do not load the actors.
"""

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .actors.agent.agent import Agent
    from .actors.agent.system_view import SystemView
    from .actors.cell.logs import TurnFilter
    from .actors.patterns.document import Conflicted, Document, Merged, Version
    from .actors.patterns.dropped import Dropped, DroppedItems
    from .actors.patterns.family import Family
    from .actors.patterns.pipeline import Pipeline, Work
    from .actors.patterns.quota import Quota
    from .actors.patterns.requests import Answered, Request, Requests, TimedOut, Waiting
    from .actors.patterns.sharing import Sharing
    from .actors.patterns.topic import Item, Topic
    from .actors.pool.future import Future
    from .actors.system.cells import Passivation
    from .actors.system.dead_letters import DeadLetters
    from .actors.system.deferred import DeferredCalls
    from .actors.system.history import HookHistory
    from .actors.system.hooks import Hooks
    from .actors.system.options import Limits, Resources
    from .actors.talk.description import AgentDescription
    from .actors.talk.reference import AgentProxy, AgentRef, MethodProxy
    from .actors.talk.sessions import Session
    from .actors.talk.turn import TurnView
    from .aio import Rim
    from .backups import Backups
    from .hooks.breaker import Breaker
    from .hooks.details import (
        ArtifactDetails,
        CallDetails,
        CallErrorDetails,
        Details,
        ErrorDetails,
        LifecycleDetails,
        LoadDetails,
        MessageDetails,
        OutcomeDetails,
        SaveDetails,
        ScopeDetails,
        SessionDetails,
        StateDetails,
    )
    from .hooks.history.history import RunSelection
    from .hooks.history.outside import OutsideCall
    from .hooks.history.queue import DeferredCall
    from .hooks.history.record import HookRecord
    from .hooks.history.recording import HookAnswer, Recording
    from .hooks.history.retention import HistoryRetention
    from .hooks.hook import Declared, HookOptions, HookStatistics, OnFailure, hook
    from .hooks.points import Point
    from .hooks.results import Cache, Cancel, Continue, Fork, Hold, Redirect, Replace, Retry, Skip
    from .hooks.sets import HookHost, HookSet, hooked
    from .hooks.shipped.auditing import Auditing
    from .hooks.shipped.breakpoint import Breakpoint
    from .hooks.shipped.caching import Caching
    from .hooks.shipped.cost_budget import CostBudget, Spent
    from .hooks.shipped.logs import Logging
    from .hooks.shipped.metrics import OpenTelemetryMetrics, PrometheusMetrics
    from .hooks.shipped.rate_limit import RateLimit
    from .hooks.shipped.redaction import Redaction
    from .hooks.shipped.retrying import Retrying
    from .hooks.shipped.spans import OpenTelemetrySpans
    from .hooks.shipped.validation import Validation
    from .hooks.timeline.event import Event
    from .hooks.timeline.kinds import EventKind
    from .hooks.timeline.timeline import Timeline
    from .hooks.timeline.tree import Gap, Span, Tree
    from .hooks.timeline.why import Provenance
    from .hooks.trace import Spanned, TraceContext
    from .lifecycle import signals
    from .lifecycle.backoff import Backoff
    from .lifecycle.clock import Clock, DueCall, VirtualClock
    from .lifecycle.durability import AutoSave, Durability, Saving, WhenUnsaved
    from .lifecycle.groups import GroupDescription
    from .lifecycle.restart import RestartPolicy, Strategy
    from .lifecycle.saves import SaveStatistics
    from .lifecycle.status import Status
    from .listings import Agents, Journal, Mail, Timers
    from .llm.agent import ThinkingAgent
    from .llm.open_runs import OpenRun
    from .llm.playback import PromptDifference, RunReplay, replay_run
    from .llm.records import (
        Budget,
        Run,
        RunEvent,
        RunRetention,
        RunStep,
        RunWait,
        Tally,
        ThinkingState,
        Usage,
    )
    from .llm.runs import Runs
    from .llm.tools import ToolCall, agent_tool, ask_person, tool, tool_call
    from .persistence import errors
    from .persistence.audit.entries import AuditEntry
    from .persistence.audit.verification import AuditReport, Fault
    from .persistence.backup.bringing import BroughtBack
    from .persistence.backup.destination import BackupDraft, Destination
    from .persistence.backup.folder import Backup
    from .persistence.backup.part import PartCounts
    from .persistence.backup.recovery import Recovered
    from .persistence.backup.retention import BackupRetention, BackupVerdict
    from .persistence.backup.rewrite import RewrittenBackup
    from .persistence.backup.s3 import S3Bucket
    from .persistence.backup.verify import Verified
    from .persistence.errors import PerdureError
    from .persistence.memory.store import MemoryStore
    from .persistence.names.scope import Principal, Scope
    from .persistence.records.page import Page
    from .persistence.records.records import (
        AgentRow,
        DeadLetter,
        Growth,
        JournalEntry,
        Message,
        QuarantineRow,
        Timer,
    )
    from .persistence.schema import transforms
    from .persistence.schema.migration import DeclaredMigration, migration
    from .persistence.schema.transforms import Transform
    from .persistence.schema.trial import MigrationFailure, MigrationReport, MigrationSample
    from .persistence.secrets.detector import Detector
    from .persistence.secrets.keys import (
        EnvironmentKeys,
        FileKeys,
        KeyProvider,
        KeyringKeys,
        Keys,
        StaticKeys,
        new_key,
    )
    from .persistence.secrets.pickled import Pickled
    from .persistence.secrets.rules import Rule
    from .persistence.secrets.secret import Secret
    from .persistence.state.log import Log
    from .persistence.state.map import Map
    from .persistence.state.state import State
    from .persistence.store.store import Store, StoreReader
    from .persistence.upkeep.retention import Retention
    from .replay.batch import ReplayBatch
    from .replay.comparison import ReplayRules
    from .replay.outcome import Replay, ReplayFinding
    from .replay.replayer import Replayer
    from .replay.replays import Replays
    from .replay.report import ReplayReport
    from .replay.results import ReplayResult, ReplayResults
    from .replay.schedule import ReplaySchedule
    from .replay.schedules import ReplaySchedules
    from .replay.selection import TurnSelection
    from .scripting.agent import ScriptAgent, ScriptVersion
    from .scripting.durable import DurableScriptAgent, SuspendedScript
    from .scripting.language import Language
    from .scripting.options import Confinement, ScriptLimits, ScriptRights
    from .scripting.script import Script, ScriptResult
    from .scripting.scripts import Scripts
    from .scripting.session import ScriptSession
    from .shared.access.access import Access
    from .shared.access.audit import Audit, AuditTrail, DecisionSelection
    from .shared.access.boundaries import Boundary, CustomBoundary
    from .shared.access.cut_off import Isolations
    from .shared.access.grants import Grant, Isolation
    from .shared.access.listing import Grants
    from .shared.artifacts.artifacts import Artifacts
    from .shared.artifacts.reader import ArtifactReader, ArtifactSelection
    from .shared.artifacts.records import Artifact, ArtifactLimits, ArtifactType
    from .shared.artifacts.sink import Sink
    from .shared.artifacts.source import Source
    from .shared.artifacts.sweep import Swept
    from .shared.ledger.guard import Decision, Right
    from .shared.scopes.agent_scopes import AgentScopes
    from .shared.scopes.entries import ABSENT, Entry
    from .shared.scopes.state import ScopedState
    from .shared.secrets.office import SecretsOffice
    from .shared.secrets.rotation import Rotation
    from .shared.sessions.exporter import ExportReport
    from .shared.sessions.handle import History, SessionHandle
    from .shared.sessions.pages import SessionSelection
    from .shared.sessions.records import Cleanup, SessionInfo, SessionLimits
    from .shared.sessions.sessions import Sessions
    from .shared.sessions.status import SessionStatus
    from .shared.timeline.timelines import Timelines
    from .system import AgentSystem, SystemStatistics, open_async
    from .system_backups import BackupResult, BackupSchedule, SystemBackups
    from .url import open_reader

__all__ = [
    "ABSENT",
    "Access",
    "Agent",
    "AgentDescription",
    "AgentProxy",
    "AgentRef",
    "AgentRow",
    "AgentScopes",
    "AgentSystem",
    "Agents",
    "Answered",
    "Artifact",
    "ArtifactDetails",
    "ArtifactLimits",
    "ArtifactReader",
    "ArtifactSelection",
    "ArtifactType",
    "Artifacts",
    "Audit",
    "AuditEntry",
    "AuditReport",
    "AuditTrail",
    "Auditing",
    "AutoSave",
    "Backoff",
    "Backup",
    "BackupDraft",
    "BackupResult",
    "BackupRetention",
    "BackupSchedule",
    "BackupVerdict",
    "Backups",
    "Boundary",
    "Breaker",
    "Breakpoint",
    "BroughtBack",
    "Budget",
    "Cache",
    "Caching",
    "CallDetails",
    "CallErrorDetails",
    "Cancel",
    "Cleanup",
    "Clock",
    "Confinement",
    "Conflicted",
    "Continue",
    "CostBudget",
    "CustomBoundary",
    "DeadLetter",
    "DeadLetters",
    "Decision",
    "DecisionSelection",
    "Declared",
    "DeclaredMigration",
    "DeferredCall",
    "DeferredCalls",
    "Destination",
    "Details",
    "Detector",
    "Document",
    "Dropped",
    "DroppedItems",
    "DueCall",
    "Durability",
    "DurableScriptAgent",
    "Entry",
    "EnvironmentKeys",
    "ErrorDetails",
    "Event",
    "EventKind",
    "ExportReport",
    "Family",
    "Fault",
    "FileKeys",
    "Fork",
    "Future",
    "Gap",
    "Grant",
    "Grants",
    "GroupDescription",
    "Growth",
    "History",
    "HistoryRetention",
    "Hold",
    "HookAnswer",
    "HookHistory",
    "HookHost",
    "HookOptions",
    "HookRecord",
    "HookSet",
    "HookStatistics",
    "Hooks",
    "Isolation",
    "Isolations",
    "Item",
    "Journal",
    "JournalEntry",
    "KeyProvider",
    "KeyringKeys",
    "Keys",
    "Language",
    "LifecycleDetails",
    "Limits",
    "LoadDetails",
    "Log",
    "Logging",
    "Mail",
    "Map",
    "MemoryStore",
    "Merged",
    "Message",
    "MessageDetails",
    "MethodProxy",
    "MigrationFailure",
    "MigrationReport",
    "MigrationSample",
    "OnFailure",
    "OpenRun",
    "OpenTelemetryMetrics",
    "OpenTelemetrySpans",
    "OutcomeDetails",
    "OutsideCall",
    "Page",
    "PartCounts",
    "Passivation",
    "PerdureError",
    "Pickled",
    "Pipeline",
    "Point",
    "Principal",
    "PrometheusMetrics",
    "PromptDifference",
    "Provenance",
    "QuarantineRow",
    "Quota",
    "RateLimit",
    "Recording",
    "Recovered",
    "Redaction",
    "Redirect",
    "Replace",
    "Replay",
    "ReplayBatch",
    "ReplayFinding",
    "ReplayReport",
    "ReplayResult",
    "ReplayResults",
    "ReplayRules",
    "ReplaySchedule",
    "ReplaySchedules",
    "Replayer",
    "Replays",
    "Request",
    "Requests",
    "Resources",
    "RestartPolicy",
    "Retention",
    "Retry",
    "Retrying",
    "RewrittenBackup",
    "Right",
    "Rim",
    "Rotation",
    "Rule",
    "Run",
    "RunEvent",
    "RunReplay",
    "RunRetention",
    "RunSelection",
    "RunStep",
    "RunWait",
    "Runs",
    "S3Bucket",
    "SaveDetails",
    "SaveStatistics",
    "Saving",
    "Scope",
    "ScopeDetails",
    "ScopedState",
    "Script",
    "ScriptAgent",
    "ScriptLimits",
    "ScriptResult",
    "ScriptRights",
    "ScriptSession",
    "ScriptVersion",
    "Scripts",
    "Secret",
    "SecretsOffice",
    "Session",
    "SessionDetails",
    "SessionHandle",
    "SessionInfo",
    "SessionLimits",
    "SessionSelection",
    "SessionStatus",
    "Sessions",
    "Sharing",
    "Sink",
    "Skip",
    "Source",
    "Span",
    "Spanned",
    "Spent",
    "State",
    "StateDetails",
    "StaticKeys",
    "Status",
    "Store",
    "StoreReader",
    "Strategy",
    "SuspendedScript",
    "Swept",
    "SystemBackups",
    "SystemStatistics",
    "SystemView",
    "Tally",
    "ThinkingAgent",
    "ThinkingState",
    "TimedOut",
    "Timeline",
    "Timelines",
    "Timer",
    "Timers",
    "ToolCall",
    "Topic",
    "TraceContext",
    "Transform",
    "Tree",
    "TurnFilter",
    "TurnSelection",
    "TurnView",
    "Usage",
    "Validation",
    "Verified",
    "Version",
    "VirtualClock",
    "Waiting",
    "WhenUnsaved",
    "Work",
    "agent_tool",
    "ask_person",
    "errors",
    "hook",
    "hooked",
    "migration",
    "new_key",
    "open_async",
    "open_reader",
    "replay_run",
    "signals",
    "tool",
    "tool_call",
    "transforms",
]

# The imports above, for the interpreter; a test holds the two lists together.
_HOMES: Final = {
    "ABSENT": ".shared.scopes.entries",
    "Access": ".shared.access.access",
    "Agent": ".actors.agent.agent",
    "AgentDescription": ".actors.talk.description",
    "AgentProxy": ".actors.talk.reference",
    "AgentRef": ".actors.talk.reference",
    "AgentRow": ".persistence.records.records",
    "AgentScopes": ".shared.scopes.agent_scopes",
    "AgentSystem": ".system",
    "Agents": ".listings",
    "Answered": ".actors.patterns.requests",
    "Artifact": ".shared.artifacts.records",
    "ArtifactDetails": ".hooks.details",
    "ArtifactLimits": ".shared.artifacts.records",
    "ArtifactReader": ".shared.artifacts.reader",
    "ArtifactSelection": ".shared.artifacts.reader",
    "ArtifactType": ".shared.artifacts.records",
    "Artifacts": ".shared.artifacts.artifacts",
    "Audit": ".shared.access.audit",
    "AuditEntry": ".persistence.audit.entries",
    "AuditReport": ".persistence.audit.verification",
    "AuditTrail": ".shared.access.audit",
    "Auditing": ".hooks.shipped.auditing",
    "AutoSave": ".lifecycle.durability",
    "Backoff": ".lifecycle.backoff",
    "Backup": ".persistence.backup.folder",
    "BackupDraft": ".persistence.backup.destination",
    "BackupResult": ".system_backups",
    "BackupRetention": ".persistence.backup.retention",
    "BackupSchedule": ".system_backups",
    "BackupVerdict": ".persistence.backup.retention",
    "Backups": ".backups",
    "Boundary": ".shared.access.boundaries",
    "Breaker": ".hooks.breaker",
    "Breakpoint": ".hooks.shipped.breakpoint",
    "BroughtBack": ".persistence.backup.bringing",
    "Budget": ".llm.records",
    "Cache": ".hooks.results",
    "Caching": ".hooks.shipped.caching",
    "CallDetails": ".hooks.details",
    "CallErrorDetails": ".hooks.details",
    "Cancel": ".hooks.results",
    "Cleanup": ".shared.sessions.records",
    "Clock": ".lifecycle.clock",
    "Confinement": ".scripting.options",
    "Conflicted": ".actors.patterns.document",
    "Continue": ".hooks.results",
    "CostBudget": ".hooks.shipped.cost_budget",
    "CustomBoundary": ".shared.access.boundaries",
    "DeadLetter": ".persistence.records.records",
    "DeadLetters": ".actors.system.dead_letters",
    "Decision": ".shared.ledger.guard",
    "DecisionSelection": ".shared.access.audit",
    "Declared": ".hooks.hook",
    "DeclaredMigration": ".persistence.schema.migration",
    "DeferredCall": ".hooks.history.queue",
    "DeferredCalls": ".actors.system.deferred",
    "Destination": ".persistence.backup.destination",
    "Details": ".hooks.details",
    "Detector": ".persistence.secrets.detector",
    "Document": ".actors.patterns.document",
    "Dropped": ".actors.patterns.dropped",
    "DroppedItems": ".actors.patterns.dropped",
    "DueCall": ".lifecycle.clock",
    "Durability": ".lifecycle.durability",
    "DurableScriptAgent": ".scripting.durable",
    "Entry": ".shared.scopes.entries",
    "EnvironmentKeys": ".persistence.secrets.keys",
    "ErrorDetails": ".hooks.details",
    "Event": ".hooks.timeline.event",
    "EventKind": ".hooks.timeline.kinds",
    "ExportReport": ".shared.sessions.exporter",
    "Family": ".actors.patterns.family",
    "Fault": ".persistence.audit.verification",
    "FileKeys": ".persistence.secrets.keys",
    "Fork": ".hooks.results",
    "Future": ".actors.pool.future",
    "Gap": ".hooks.timeline.tree",
    "Grant": ".shared.access.grants",
    "Grants": ".shared.access.listing",
    "GroupDescription": ".lifecycle.groups",
    "Growth": ".persistence.records.records",
    "History": ".shared.sessions.handle",
    "HistoryRetention": ".hooks.history.retention",
    "Hold": ".hooks.results",
    "HookAnswer": ".hooks.history.recording",
    "HookHistory": ".actors.system.history",
    "HookHost": ".hooks.sets",
    "HookOptions": ".hooks.hook",
    "HookRecord": ".hooks.history.record",
    "HookSet": ".hooks.sets",
    "HookStatistics": ".hooks.hook",
    "Hooks": ".actors.system.hooks",
    "Isolation": ".shared.access.grants",
    "Isolations": ".shared.access.cut_off",
    "Item": ".actors.patterns.topic",
    "Journal": ".listings",
    "JournalEntry": ".persistence.records.records",
    "KeyProvider": ".persistence.secrets.keys",
    "KeyringKeys": ".persistence.secrets.keys",
    "Keys": ".persistence.secrets.keys",
    "Language": ".scripting.language",
    "LifecycleDetails": ".hooks.details",
    "Limits": ".actors.system.options",
    "LoadDetails": ".hooks.details",
    "Log": ".persistence.state.log",
    "Logging": ".hooks.shipped.logs",
    "Mail": ".listings",
    "Map": ".persistence.state.map",
    "MemoryStore": ".persistence.memory.store",
    "Merged": ".actors.patterns.document",
    "Message": ".persistence.records.records",
    "MessageDetails": ".hooks.details",
    "MethodProxy": ".actors.talk.reference",
    "MigrationFailure": ".persistence.schema.trial",
    "MigrationReport": ".persistence.schema.trial",
    "MigrationSample": ".persistence.schema.trial",
    "OnFailure": ".hooks.hook",
    "OpenRun": ".llm.open_runs",
    "OpenTelemetryMetrics": ".hooks.shipped.metrics",
    "OpenTelemetrySpans": ".hooks.shipped.spans",
    "OutcomeDetails": ".hooks.details",
    "OutsideCall": ".hooks.history.outside",
    "Page": ".persistence.records.page",
    "PartCounts": ".persistence.backup.part",
    "Passivation": ".actors.system.cells",
    "PerdureError": ".persistence.errors",
    "Pickled": ".persistence.secrets.pickled",
    "Pipeline": ".actors.patterns.pipeline",
    "Point": ".hooks.points",
    "Principal": ".persistence.names.scope",
    "PrometheusMetrics": ".hooks.shipped.metrics",
    "PromptDifference": ".llm.playback",
    "Provenance": ".hooks.timeline.why",
    "QuarantineRow": ".persistence.records.records",
    "Quota": ".actors.patterns.quota",
    "RateLimit": ".hooks.shipped.rate_limit",
    "Recording": ".hooks.history.recording",
    "Recovered": ".persistence.backup.recovery",
    "Redaction": ".hooks.shipped.redaction",
    "Redirect": ".hooks.results",
    "Replace": ".hooks.results",
    "Replay": ".replay.outcome",
    "ReplayBatch": ".replay.batch",
    "ReplayFinding": ".replay.outcome",
    "ReplayReport": ".replay.report",
    "ReplayResult": ".replay.results",
    "ReplayResults": ".replay.results",
    "ReplayRules": ".replay.comparison",
    "ReplaySchedule": ".replay.schedule",
    "ReplaySchedules": ".replay.schedules",
    "Replayer": ".replay.replayer",
    "Replays": ".replay.replays",
    "Request": ".actors.patterns.requests",
    "Requests": ".actors.patterns.requests",
    "Resources": ".actors.system.options",
    "RestartPolicy": ".lifecycle.restart",
    "Retention": ".persistence.upkeep.retention",
    "Retry": ".hooks.results",
    "Retrying": ".hooks.shipped.retrying",
    "RewrittenBackup": ".persistence.backup.rewrite",
    "Right": ".shared.ledger.guard",
    "Rim": ".aio",
    "Rotation": ".shared.secrets.rotation",
    "Rule": ".persistence.secrets.rules",
    "Run": ".llm.records",
    "RunEvent": ".llm.records",
    "RunReplay": ".llm.playback",
    "RunRetention": ".llm.records",
    "RunSelection": ".hooks.history.history",
    "RunStep": ".llm.records",
    "RunWait": ".llm.records",
    "Runs": ".llm.runs",
    "S3Bucket": ".persistence.backup.s3",
    "SaveDetails": ".hooks.details",
    "SaveStatistics": ".lifecycle.saves",
    "Saving": ".lifecycle.durability",
    "Scope": ".persistence.names.scope",
    "ScopeDetails": ".hooks.details",
    "ScopedState": ".shared.scopes.state",
    "Script": ".scripting.script",
    "ScriptAgent": ".scripting.agent",
    "ScriptLimits": ".scripting.options",
    "ScriptResult": ".scripting.script",
    "ScriptRights": ".scripting.options",
    "ScriptSession": ".scripting.session",
    "ScriptVersion": ".scripting.agent",
    "Scripts": ".scripting.scripts",
    "Secret": ".persistence.secrets.secret",
    "SecretsOffice": ".shared.secrets.office",
    "Session": ".actors.talk.sessions",
    "SessionDetails": ".hooks.details",
    "SessionHandle": ".shared.sessions.handle",
    "SessionInfo": ".shared.sessions.records",
    "SessionLimits": ".shared.sessions.records",
    "SessionSelection": ".shared.sessions.pages",
    "SessionStatus": ".shared.sessions.status",
    "Sessions": ".shared.sessions.sessions",
    "Sharing": ".actors.patterns.sharing",
    "Sink": ".shared.artifacts.sink",
    "Skip": ".hooks.results",
    "Source": ".shared.artifacts.source",
    "Span": ".hooks.timeline.tree",
    "Spanned": ".hooks.trace",
    "Spent": ".hooks.shipped.cost_budget",
    "State": ".persistence.state.state",
    "StateDetails": ".hooks.details",
    "StaticKeys": ".persistence.secrets.keys",
    "Status": ".lifecycle.status",
    "Store": ".persistence.store.store",
    "StoreReader": ".persistence.store.store",
    "Strategy": ".lifecycle.restart",
    "SuspendedScript": ".scripting.durable",
    "Swept": ".shared.artifacts.sweep",
    "SystemBackups": ".system_backups",
    "SystemStatistics": ".system",
    "SystemView": ".actors.agent.system_view",
    "Tally": ".llm.records",
    "ThinkingAgent": ".llm.agent",
    "ThinkingState": ".llm.records",
    "TimedOut": ".actors.patterns.requests",
    "Timeline": ".hooks.timeline.timeline",
    "Timelines": ".shared.timeline.timelines",
    "Timer": ".persistence.records.records",
    "Timers": ".listings",
    "ToolCall": ".llm.tools",
    "Topic": ".actors.patterns.topic",
    "TraceContext": ".hooks.trace",
    "Transform": ".persistence.schema.transforms",
    "Tree": ".hooks.timeline.tree",
    "TurnFilter": ".actors.cell.logs",
    "TurnSelection": ".replay.selection",
    "TurnView": ".actors.talk.turn",
    "Usage": ".llm.records",
    "Validation": ".hooks.shipped.validation",
    "Verified": ".persistence.backup.verify",
    "Version": ".actors.patterns.document",
    "VirtualClock": ".lifecycle.clock",
    "Waiting": ".actors.patterns.requests",
    "WhenUnsaved": ".lifecycle.durability",
    "Work": ".actors.patterns.pipeline",
    "agent_tool": ".llm.tools",
    "ask_person": ".llm.tools",
    "errors": ".persistence",
    "hook": ".hooks.hook",
    "hooked": ".hooks.sets",
    "migration": ".persistence.schema.migration",
    "new_key": ".persistence.secrets.keys",
    "open_async": ".system",
    "open_reader": ".url",
    "replay_run": ".llm.playback",
    "signals": ".lifecycle",
    "tool": ".llm.tools",
    "tool_call": ".llm.tools",
    "transforms": ".persistence.schema",
}


def __getattr__(name: str) -> object:
    """Import a public name from the module that defines it."""
    try:
        home = _HOMES[name]
    except KeyError:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message) from None
    module = importlib.import_module(home, __name__)
    if not hasattr(module, name):  # `errors` and `signals` are modules themselves
        importlib.import_module(f"{home}.{name}", __name__)
    value: object = getattr(module, name)
    globals()[name] = value  # asked for once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
