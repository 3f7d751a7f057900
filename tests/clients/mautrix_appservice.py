"""mautrix-python's application service as bridges use it. Arguments: the homeserver's URL, the partner's user ID, the file
with the registration (JSON)."""

import asyncio
import json
import sys
from datetime import datetime, timezone
from urllib.parse import urlsplit

from mautrix.appservice import AppService, ASStateStore
from mautrix.client.state_store import MemoryStateStore
from mautrix.errors import MExclusive
from mautrix.types import EventType, Membership, PresenceState, RoomCreatePreset, UserID

from mautrix_conversation import Room, converse, profile
from steps import Seen, equal, failed, told, true

# An empty answer is a 404 for mautrix.
FOUND = {"found": True}
LONG_AGO = datetime.fromtimestamp(1_421_416_883, timezone.utc)


class MemoryASStateStore(ASStateStore, MemoryStateStore):
    def __init__(self):
        ASStateStore.__init__(self)
        MemoryStateStore.__init__(self)


class Bridge:
    def __init__(self, homeserver: str, partner: UserID, registration: dict):
        self.partner = partner
        self.server = partner.partition(":")[2]
        self.address = urlsplit(registration["url"])
        self.seen = Seen()
        self.asked_for_alias, self.asked_for_user = [], []
        self.service = AppService(
            homeserver,
            self.server,
            registration["as_token"],
            registration["hs_token"],
            registration["sender_localpart"],
            registration["id"],
            state_store=MemoryASStateStore(),
            ephemeral_events=True,
            query_alias=self.query_alias,
            query_user=self.query_user,
        )

        async def take(event):
            self.seen.add(event)

        self.service.matrix_event_handler(take)

    async def query_alias(self, alias: str) -> dict:
        """Somebody wants into a room of the network that nobody has asked for before."""
        self.asked_for_alias.append(alias)
        localpart = alias.removeprefix("#").partition(":")[0]
        await self.service.intent.create_room(alias_localpart=localpart, name="The lobby", preset=RoomCreatePreset.PUBLIC)
        return FOUND

    async def query_user(self, user_id: str) -> dict:
        self.asked_for_user.append(user_id)
        await self.ghost(user_id).ensure_registered()
        await self.ghost(user_id).set_displayname("Called")
        return FOUND

    def ghost(self, user_id: str):
        return self.service.intent.user(UserID(user_id))

    async def begin(self) -> None:
        await self.service.start(self.address.hostname, self.address.port)
        bot = self.service.intent
        await bot.ensure_registered()
        me = await bot.whoami()
        equal("whoami", me.user_id, self.service.bot_mxid)
        true("the homeserver reaches us", await self.service.ping_self(txn_id="hello") >= 0)
        await bot.set_displayname("The bridge")

    async def lobby(self) -> None:
        """The partner comes by an alias; a ghost says welcome, as of long ago."""
        join = lambda event: event.type == EventType.ROOM_MEMBER and event.state_key == self.partner  # noqa: E731
        came = await self.seen.wait("the partner in the lobby", lambda e: join(e) and e.content.membership == Membership.JOIN)
        equal("the alias was asked for once", self.asked_for_alias, [f"#bridge_lobby:{self.server}"])
        room = Room(self.service.intent, self.seen, came.room_id)
        await room.text("is anybody here?")
        doorman = self.ghost(f"@bridge_doorman:{self.server}")
        await doorman.set_displayname("Doorman")
        await doorman.set_presence(PresenceState.ONLINE)
        await doorman.send_text(room.id, f"welcome, {self.partner}", timestamp=LONG_AGO)
        told("say welcome")
        members = await self.service.intent.get_joined_members(room.id)
        equal("the ghost's name", members[doorman.mxid].displayname, "Doorman")

    async def call(self) -> None:
        """The partner invites a ghost that did not exist."""
        called = f"@bridge_called:{self.server}"
        invite = await self.seen.wait(
            "the invitation of a ghost", lambda event: event.type == EventType.ROOM_MEMBER and event.state_key == called
        )
        equal("it was asked for once", self.asked_for_user, [called])
        equal("who invites", (invite.sender, invite.content.membership), (self.partner, Membership.INVITE))
        ghost = self.ghost(called)
        await ghost.ensure_joined(invite.room_id)
        await ghost.send_notice(invite.room_id, "you called?")
        room = Room(ghost, self.seen, invite.room_id)
        await room.text("that is all")
        await ghost.leave_room(invite.room_id)

    async def bounds(self) -> None:
        try:
            await self.ghost(f"@stranger:{self.server}")._register()
            failed("a user outside of the namespace was registered")
        except MExclusive:
            told("users outside of the namespace are refused")


async def main(homeserver: str, partner: str, registration: str) -> None:
    with open(registration) as file:
        bridge = Bridge(homeserver, UserID(partner), json.load(file))
    await bridge.begin()
    ghost = bridge.ghost(f"@bridge_ghost:{bridge.server}")
    await ghost.ensure_registered()
    await profile(ghost)
    await converse(ghost, bridge.seen, bridge.partner)
    await bridge.lobby()
    await bridge.call()
    await bridge.bounds()
    await bridge.service.stop()


asyncio.run(main(*sys.argv[1:]))
