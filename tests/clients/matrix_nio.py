"""matrix-nio as its users use it. Arguments: the homeserver's URL, the partner's user ID."""

import asyncio
import io
import sys

from nio import AsyncClient, AsyncClientConfig, RoomPreset, RoomVisibility
from nio.events import (
    InviteMemberEvent,
    ReactionEvent,
    RedactedEvent,
    RedactionEvent,
    RoomCreateEvent,
    RoomMemberEvent,
    RoomMessageFile,
    RoomMessageText,
)
from nio.responses import ErrorResponse, SyncResponse

from steps import PASSWORD, PATIENCE, PNG, Seen, equal, eventually, failed, told, true


def done(what, response):
    """The answer of a request, or the end of the program."""
    if isinstance(response, ErrorResponse):
        failed(f"{what}: {response}")
    told(what)
    return response


class Nio:
    """A client that syncs and remembers what it saw."""

    def __init__(self, homeserver: str):
        self.client = AsyncClient(homeserver, "", config=AsyncClientConfig(max_timeouts=0, request_timeout=40))
        self.seen = Seen()
        self.task = None

    async def register_and_log_in(self, name: str) -> None:
        client = self.client
        registered = done(f"{name} registers", await client.register(name, PASSWORD, "the first device"))
        done(f"{name} logs out", await client.logout())
        client.user = registered.user_id
        done(f"{name} logs in", await client.login(PASSWORD, "the second device"))
        equal("whoami", (await client.whoami()).user_id, registered.user_id)
        names = sorted(device.display_name for device in (await client.devices()).devices)
        equal("logging out took the first device away", names, ["the second device"])

    async def begin(self) -> None:
        client = self.client
        take = lambda room, event: self.seen.add((room.room_id, event))  # noqa: E731
        client.add_event_callback(take, None)
        client.add_ephemeral_callback(take, None)
        client.add_room_account_data_callback(take, None)

        async def left(response):
            for room_id, room in response.rooms.leave.items():
                for event in room.timeline.events:
                    self.seen.add((room_id, event))

        client.add_response_callback(left, SyncResponse)
        first = done("the first sync", await client.sync(timeout=0, full_state=True))
        true("the first sync has a next_batch", first.next_batch)
        self.task = asyncio.create_task(client.sync_forever(timeout=30_000))

    async def wait(self, what, kind, room_id, fits=lambda event: True):
        _, event = await self.seen.wait(
            what, lambda item: item[0] == room_id and isinstance(item[1], kind) and fits(item[1])
        )
        return event

    async def until(self, what, holds):
        """Until the client's own picture of its rooms is as it should be."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not holds():
                    await self.client.synced.wait()
        except TimeoutError:
            failed(f"waited {PATIENCE} s until {what}")
        told(what)

    async def send(self, room_id, content, kind="m.room.message"):
        return done(f"send {content.get('body', kind)!r}", await self.client.room_send(room_id, kind, content)).event_id

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.client.close()


async def profile(client: AsyncClient) -> None:
    uploaded, _ = await client.upload(io.BytesIO(PNG), "image/png", "face.png", filesize=len(PNG))
    avatar = done("upload an avatar", uploaded).content_uri
    done("set a display name", await client.set_displayname("Nio the client"))
    done("set an avatar", await client.set_avatar(avatar))
    seen = done("get the profile", await client.get_profile())
    equal("the profile", (seen.displayname, seen.avatar_url), ("Nio the client", avatar))
    server, media = avatar.removeprefix("mxc://").split("/")
    small = done("get a thumbnail", await client.thumbnail(server, media, 32, 32))
    equal("the thumbnail is a picture", small.content_type, "image/png")
    config = done("ask for the media limits", await client.content_repository_config())
    true("uploads have a limit", config.upload_size)


async def converse(nio: Nio, partner: str) -> None:
    """The conversation that every client has with the partner of tests/it/clients/partner.rs."""
    client = nio.client
    made = await client.room_create(name="A conversation", topic="What clients do", invite=[partner])
    room = done("create a room", made).room_id
    await nio.wait("the partner join", RoomMemberEvent, room, lambda e: (e.state_key, e.membership) == (partner, "join"))
    await nio.until("nio knows the room", lambda: room in client.rooms and partner in client.rooms[room].users)
    view = client.rooms[room]
    equal("the room's name and topic", (view.name, view.topic), ("A conversation", "What clients do"))

    hello = await nio.send(room, {"msgtype": "m.text", "body": "hello, partner"})
    await nio.until("the partner is seen typing", lambda: partner in view.typing_users)
    await nio.until("the partner's receipt is seen", lambda: getattr(view.read_receipts.get(partner), "event_id", "") == hello)
    done("type", await client.room_typing(room, True, 20_000))

    said = await nio.wait("the partner's message", RoomMessageText, room, lambda e: e.body == "hello, client")
    equal("its sender", said.sender, partner)
    done("stop typing", await client.room_typing(room, False))
    done("send a receipt", await client.update_receipt_marker(room, said.event_id))
    done("move the read marker", await client.room_read_markers(room, said.event_id, said.event_id))
    relation = {"rel_type": "m.annotation", "event_id": said.event_id, "key": "👍"}
    reaction = await nio.send(room, {"m.relates_to": relation}, "m.reaction")
    replaced = {"msgtype": "m.text", "body": "hello again, partner"}
    relation = {"rel_type": "m.replace", "event_id": hello}
    await nio.send(room, replaced | {"body": "* hello again, partner", "m.new_content": replaced, "m.relates_to": relation})

    event = await nio.wait("the partner's reaction", ReactionEvent, room, lambda e: e.sender == partner)
    equal("the reaction", (event.key, event.reacts_to), ("🎉", hello))
    edit = await nio.wait("the partner's edit", RoomMessageText, room, lambda e: e.body == "* hello again, client")
    equal("what it replaces", edit.source["content"]["m.relates_to"]["event_id"], said.event_id)
    file = await nio.wait("the partner's file", RoomMessageFile, room, lambda e: e.sender == partner)
    fetched = done("download it", await client.download(file.url))
    equal("its bytes, type and name", (fetched.body, fetched.content_type, fetched.filename), (b"from the partner\n", "text/plain", "partner.txt"))

    note = b"from the client\n"
    uploaded, _ = await client.upload(io.BytesIO(note), "text/plain", "client.txt", filesize=len(note))
    uri = done("upload a file", uploaded).content_uri
    await nio.send(room, {"msgtype": "m.file", "body": "client.txt", "url": uri, "info": {"size": len(note)}})
    slip = await nio.send(room, {"msgtype": "m.text", "body": "a slip"})
    await nio.wait("the partner's slip", RoomMessageText, room, lambda e: e.body == "my slip")
    done("redact a message", await client.room_redact(room, slip, "it slipped"))

    event = await nio.wait("the partner's redaction", RedactionEvent, room, lambda e: e.sender == partner)
    equal("its reason", event.reason, "it slipped too")
    pruned = done("get the redacted event", await client.room_get_event(room, event.redacts)).event
    true("it is pruned", isinstance(pruned, RedactedEvent), pruned)

    await history(nio, room, [hello, said.event_id, reaction])
    await nio.send(room, {"msgtype": "m.text", "body": "goodbye"})
    await nio.wait("the own goodbye", RoomMessageText, room, lambda e: e.body == "goodbye")
    done("leave", await client.room_leave(room))
    done("forget the room", await client.room_forget(room))
    equal("it is forgotten", room in (await client.joined_rooms()).rooms, False)


async def history(nio: Nio, room: str, wanted: list[str]) -> None:
    client = nio.client
    found, token, pages = [], "", 0
    while token is not None:
        page = done("a page of history", await client.room_messages(room, token, limit=5))
        found += [event.event_id for event in page.chunk]
        token, pages = page.end, pages + 1
        true("the history ends", pages < 30)
    true("every message is in the history, once", all(found.count(event) == 1 for event in wanted), found)
    oldest = done("get the oldest event", await client.room_get_event(room, found[-1])).event
    true("it is the room's creation", isinstance(oldest, RoomCreateEvent), oldest)
    around = done("the context of a message", await client.room_context(room, wanted[0], limit=4))
    equal("it is in its middle", around.event.event_id, wanted[0])
    true("something is before and after it", around.events_before and around.events_after)
    related = [event.event_id async for event in client.room_get_event_relations(room, wanted[1])]
    true("the reaction is found by its parent", wanted[2] in related, related)


async def meet(nio: Nio, other: Nio) -> None:
    """Two users of nio: directory, invitation, moderation, state."""
    client, guest = nio.client, other.client
    done("the other takes a name", await guest.set_displayname("Other"))
    # Of later versions nio does not know that creators may do anything.
    made = await client.room_create(
        RoomVisibility.public, alias="nio-lounge", name="Lounge", room_version="10", preset=RoomPreset.public_chat
    )
    room = done("create a public room", made).room_id
    alias = f"#nio-lounge:{client.user_id.partition(':')[2]}"
    equal("its alias leads to it", (await guest.room_resolve_alias(alias)).room_id, room)

    async def listed():
        return room in [entry.room_id for entry in (await guest.list_public_rooms()).public_rooms]

    await eventually("the room is in the directory", listed)
    done("the other joins by alias", await guest.join(alias))
    await nio.until("the other is a member", lambda: room in client.rooms and guest.user_id in client.rooms[room].users)
    equal("with a display name", client.rooms[room].users[guest.user_id].display_name, "Other")
    may = client.rooms[room].power_levels.can_user_kick
    equal("who may kick", (may(client.user_id), may(guest.user_id)), (True, False))
    done("kick", await client.room_kick(room, guest.user_id, "a test"))
    event = await other.wait("the kick", RoomMemberEvent, room, lambda e: e.state_key == guest.user_id and e.membership == "leave")
    equal("its reason", event.content.get("reason"), "a test")
    done("ban", await client.room_ban(room, guest.user_id))
    true("the banned cannot join", isinstance(await guest.join(room), ErrorResponse))
    done("unban", await client.room_unban(room, guest.user_id))
    done("invite", await client.room_invite(room, guest.user_id))
    await other.wait("the invitation", InviteMemberEvent, room, lambda e: e.membership == "invite")
    equal("whose invitation it is", guest.invited_rooms[room].inviter, client.user_id)
    done("accept it", await guest.join(room))
    done("set a topic", await client.room_put_state(room, "m.room.topic", {"topic": "Chairs"}))
    await other.until("the topic is seen", lambda: room in guest.rooms and guest.rooms[room].topic == "Chairs")
    refused = await guest.room_put_state(room, "m.room.topic", {"topic": "Tables"})
    equal("a member without power is refused", getattr(refused, "status_code", None), "M_FORBIDDEN")
    members = done("the joined members", await guest.joined_members(room)).members
    equal("are both", sorted(member.user_id for member in members), sorted([client.user_id, guest.user_id]))
    upgraded = done("upgrade the room", await client.room_upgrade(room, "11")).room_id
    equal("the alias leads to the new one", (await guest.room_resolve_alias(alias)).room_id, upgraded)
    created = done("how it began", await client.room_get_state_event(upgraded, "m.room.create")).content
    equal("its version and predecessor", (created["room_version"], created["predecessor"]["room_id"]), ("11", room))


async def main(homeserver: str, partner: str) -> None:
    nio, other = Nio(homeserver), Nio(homeserver)
    await nio.register_and_log_in("nio")
    await other.register_and_log_in("nio-other")
    await profile(nio.client)
    await nio.begin()
    await other.begin()
    await converse(nio, partner)
    await meet(nio, other)
    done("log out everywhere", await other.client.logout(all_devices=True))
    await nio.end()
    await other.end()


asyncio.run(main(*sys.argv[1:]))
