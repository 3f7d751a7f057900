"""mautrix-python's client as its users use it. Arguments: the homeserver's URL, the partner's user ID."""

import asyncio
import sys

from mautrix.api import Method, Path
from mautrix.client import Client, MemoryStateStore, MemorySyncStore
from mautrix.errors import MBadState, MUnknownToken
from mautrix.types import (
    EventType,
    LoginType,
    Membership,
    PresenceState,
    RoomCreatePreset,
    RoomDirectoryVisibility,
    RoomTagInfo,
)

from mautrix_conversation import Room, converse, profile
from steps import PASSWORD, Seen, equal, eventually, failed, told, true


class User:
    """A client that syncs and remembers what it saw."""

    def __init__(self, homeserver: str):
        self.client = Client(base_url=homeserver, sync_store=MemorySyncStore(), state_store=MemoryStateStore())
        self.seen = Seen()

        async def take(event):
            self.seen.add(event)

        self.client.add_event_handler(EventType.ALL, take)

    async def log_in(self, name: str) -> None:
        client = self.client
        wanted = {"username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"}, "inhibit_login": True}
        await client.api.request(Method.POST, Path.v3.register, wanted)
        true("login by password is offered", (await client.get_login_flows()).supports_type(LoginType.PASSWORD))
        answer = await client.login(name, password=PASSWORD, device_name="mautrix")
        client.mxid = answer.user_id
        me = await client.whoami()
        equal("whoami", (me.user_id, me.device_id), (answer.user_id, answer.device_id))
        told(f"{me.user_id} logs in")

    async def begin(self) -> None:
        self.task = self.client.start(None)


async def meet(user: User, other: User) -> None:
    client, guest = user.client, other.client
    server = client.mxid.partition(":")[2]
    lounge = await client.create_room(
        alias_localpart="mautrix-lounge",
        name="Lounge",
        visibility=RoomDirectoryVisibility.PUBLIC,
        preset=RoomCreatePreset.PUBLIC,
    )
    alias = f"#mautrix-lounge:{server}"
    equal("its alias leads to it", (await guest.resolve_room_alias(alias)).room_id, lounge)

    async def listed():
        return lounge in [room.room_id for room in (await guest.get_room_directory(limit=50)).chunk]

    await eventually("the room is in the directory", listed)
    equal("the other joins by alias", await guest.join_room(alias), lounge)
    room, theirs = Room(client, user.seen, lounge), Room(guest, other.seen, lounge)
    joined = lambda event: event.state_key == guest.mxid  # noqa: E731
    await room.wait("the other join", EventType.ROOM_MEMBER, joined)
    await client.kick_user(lounge, guest.mxid, reason="a test")
    kicked = lambda event: joined(event) and event.content.membership == Membership.LEAVE  # noqa: E731
    event = await theirs.wait("the kick", EventType.ROOM_MEMBER, kicked)
    equal("its reason and what was before", (event.content.reason, event.prev_content.membership), ("a test", Membership.JOIN))
    await client.ban_user(lounge, guest.mxid)
    try:
        await guest.join_room(alias, max_retries=0)
        failed("the banned joined")
    except MBadState:
        told("the banned cannot join")
    await client.unban_user(lounge, guest.mxid)
    await client.invite_user(lounge, guest.mxid)
    invited = lambda event: joined(event) and event.content.membership == Membership.INVITE  # noqa: E731
    invite = await theirs.wait("the invitation", EventType.ROOM_MEMBER, invited)
    names = [event.content.name for event in invite.unsigned.invite_room_state if event.type == EventType.ROOM_NAME]
    equal("it tells the room's name", names, ["Lounge"])
    await guest.join_room_by_id(lounge)
    equal("who is in the room", sorted(await guest.get_joined_members(lounge)), sorted([client.mxid, guest.mxid]))
    await client.remove_room_alias("mautrix-lounge")

    await client.set_account_data("org.example.settings", {"colour": "blue"})
    equal("account data", await client.get_account_data("org.example.settings"), {"colour": "blue"})
    await client.set_room_tag(lounge, "m.favourite", RoomTagInfo(order=0.5))
    equal("a tag", (await client.get_room_tag(lounge, "m.favourite")).order, 0.5)
    await guest.set_presence(PresenceState.ONLINE, status="here")
    equal("presence", (await client.get_presence(guest.mxid)).presence, PresenceState.ONLINE)
    await client.send_to_one_device(
        EventType.find("org.example.hello", EventType.Class.TO_DEVICE),
        guest.mxid,
        (await guest.whoami()).device_id,
        {"hello": "device"},
    )
    heard = await other.seen.wait("a message to the device", lambda event: str(event.type) == "org.example.hello")
    equal("its sender", heard.sender, client.mxid)

    async def found():
        return guest.mxid in [user.user_id for user in (await client.search_users("mautrix-other")).results]

    await eventually("the other is in the user directory", found)


async def main(homeserver: str, partner: str) -> None:
    user, other = User(homeserver), User(homeserver)
    await user.log_in("mautrix")
    await other.log_in("mautrix-other")
    await profile(user.client)
    await user.begin()
    await other.begin()
    await converse(user.client, user.seen, partner)
    await meet(user, other)
    user.client.stop()
    other.client.stop()
    token = other.client.api.token
    await other.client.logout()
    other.client.api.token = token
    try:
        await other.client.whoami()
        failed("the token still works")
    except MUnknownToken:
        told("logging out ends the session")
    for one in (user, other):
        await one.client.api.session.close()


asyncio.run(main(*sys.argv[1:]))
