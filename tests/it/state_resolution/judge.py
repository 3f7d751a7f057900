"""What Synapse says of histories: argument 1 is a file with them, argument 2 the file for the answers.

Runs in Synapse's own virtual environment, without a server. Events are named by their place in their history.
"""

import asyncio
import json
import sys

from synapse.api.errors import SynapseError
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS, StateResolutionVersions
from synapse.crypto.event_signing import check_event_content_hash
from synapse.event_auth import (
    check_state_dependent_auth_rules,
    check_state_independent_auth_rules,
    validate_event_for_room_version,
)
from synapse.events import make_event_from_json
from synapse.state import v1, v2
from synapse.storage.databases.main.event_federation import StateDifference


class Clock:
    """Never pauses."""

    async def sleep(self, duration):
        pass


class History:
    """Events as they come, the state after each, and what Synapse's functions ask of their store."""

    def __init__(self, version):
        self.version = KNOWN_ROOM_VERSIONS[version]
        self.room_id = None
        self.events = []
        self.by_id = {}
        self.after = {}

    # What the functions ask for.

    async def get_events(self, event_ids, redact_behaviour=None, allow_rejected=False):
        return {event_id: self.by_id[event_id] for event_id in event_ids}

    async def get_auth_chain_difference(self, room_id, state_sets, conflicted, more):
        chains = [self.chain(state) for state in state_sets]
        difference = set.union(*chains) - set.intersection(*chains)
        if conflicted is None:
            return StateDifference(difference, None)
        assert not more, "all events are in the store"
        # On a path from one conflicted event to another: above one and below one.
        chain_of = {event_id: self.chain({event_id}) for event_id in self.chain(conflicted)}
        between = {event_id for event_id, chain in chain_of.items() if chain & conflicted}
        return StateDifference(difference, between)

    def chain(self, event_ids):
        """The events with everything that they rest on."""
        chain, queue = set(), list(event_ids)
        while queue:
            event_id = queue.pop()
            if event_id not in chain:
                chain.add(event_id)
                queue.extend(self.by_id[event_id].auth_event_ids())
        return chain

    # The history itself.

    async def state_after(self, event_ids):
        states = [self.after[event_id] for event_id in event_ids]
        if len(states) < 2:
            return dict(states[0]) if states else {}
        if self.version.state_res == StateResolutionVersions.V1:
            resolved = await v1.resolve_events_with_store(
                self.room_id, self.version, states, None, self.get_events
            )
        else:
            resolved = await v2.resolve_events_with_store(
                Clock(), self.room_id, self.version, states, None, self
            )
        return dict(resolved)

    async def judge(self, event, before):
        validate_event_for_room_version(event)
        await check_state_independent_auth_rules(self, event)
        for state in (event.auth_event_ids(), before.values()):
            check_state_dependent_auth_rules(event, [self.by_id[event_id] for event_id in state])

    async def add(self, event):
        assert check_event_content_hash(event), "the hash of the content is wrong"
        self.events.append(event.event_id)
        before = await self.state_after(event.prev_event_ids())
        denied = None
        try:
            await self.judge(event, before)
        except SynapseError as error:
            denied = error.msg
        if denied is None:
            self.room_id = event.room_id
            self.by_id[event.event_id] = event
            after = dict(before)
            if event.is_state():
                after[(event.type, event.state_key)] = event.event_id
            self.after[event.event_id] = after
        return {"event_id": event.event_id, "denied": denied, "before": self.places(before)}

    def places(self, state):
        return sorted(self.events.index(event_id) for event_id in state.values())


async def answer(question):
    history = History(question["version"])
    events = []
    for text in question["events"]:
        # What follows an event that only we allow has no meaning here; the difference has been told.
        event = make_event_from_json(text, history.version)
        if not all(parent in history.after for parent in event.prev_event_ids()):
            return {"events": events, "merges": []}
        events.append(await history.add(event))
    merges = []
    for of in question["merges"]:
        ends = [history.events[place] for place in of]
        if all(end in history.after for end in ends):
            merges.append(history.places(await history.state_after(ends)))
    return {"events": events, "merges": merges}


async def main(questions, answers):
    with open(questions) as file:
        found = [await answer(question) for question in json.load(file)]
    with open(answers, "w") as file:
        json.dump(found, file)


asyncio.run(main(*sys.argv[1:]))
