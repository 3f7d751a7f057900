"""The conversation with the partner of tests/it/clients/partner.rs by mautrix: a client and an intent have one interface."""

from mautrix.client import ClientAPI
from mautrix.types import (
    EventType,
    Membership,
    MessageType,
    PaginationDirection,
    TextMessageEventContent,
    UserID,
)

from steps import PNG, Seen, equal, told, true


async def profile(api: ClientAPI) -> None:
    avatar = await api.upload_media(PNG, mime_type="image/png", filename="face.png")
    await api.set_displayname("Mautrix the client")
    await api.set_avatar_url(avatar)
    seen = await api.get_profile(api.mxid)
    equal("the profile", (seen.displayname, seen.avatar_url), ("Mautrix the client", avatar))
    true("a thumbnail is a picture", (await api.download_thumbnail(avatar, width=32, height=32)).startswith(b"\x89PNG"))
    later = await api.upload_media(PNG, mime_type="image/png", async_upload=True)
    equal("media that is fetched before it is there", await api.download_media(later), PNG)
    true("uploads have a limit", (await api.get_media_repo_config()).upload_size)


class Room:
    """What is seen of one room."""

    def __init__(self, api: ClientAPI, seen: Seen, room_id: str):
        self.api, self.seen, self.id = api, seen, room_id

    async def wait(self, what, kind: EventType, fits=lambda event: True):
        return await self.seen.wait(
            what, lambda event: event.type == kind and event.room_id == self.id and fits(event)
        )

    async def text(self, body: str):
        return await self.wait(f"the text {body!r}", EventType.ROOM_MESSAGE, lambda event: event.content.body == body)


async def converse(api: ClientAPI, seen: Seen, partner: UserID) -> None:
    made = await api.create_room(name="A conversation", topic="What clients do", invitees=[partner])
    told(f"create {made}")
    room = Room(api, seen, made)
    await room.wait(
        "the partner join",
        EventType.ROOM_MEMBER,
        lambda event: (event.state_key, event.content.membership) == (partner, Membership.JOIN),
    )
    name = await api.get_state_event(room.id, EventType.ROOM_NAME)
    equal("the room's name", name.name, "A conversation")

    hello = await api.send_text(room.id, "hello, partner")
    await room.wait("the partner typing", EventType.TYPING, lambda event: event.content.user_ids == [partner])
    read = lambda event: any(partner in users for users in event.content.get(hello, {}).values())  # noqa: E731
    await room.wait("the partner's receipt", EventType.RECEIPT, read)
    await api.set_typing(room.id, timeout=20_000)

    said = await room.text("hello, client")
    equal("its sender", said.sender, partner)
    await api.set_typing(room.id, timeout=0)
    await api.send_receipt(room.id, said.event_id)
    await api.set_fully_read_marker(room.id, said.event_id, said.event_id)
    await api.react(room.id, said.event_id, "👍")
    edit = TextMessageEventContent(msgtype=MessageType.TEXT, body="hello again, partner")
    edit.set_edit(hello)
    await api.send_message(room.id, edit)

    reaction = await room.wait("the partner's reaction", EventType.REACTION, lambda event: event.sender == partner)
    relation = reaction.content.relates_to
    equal("the reaction", (relation.key, relation.event_id), ("🎉", hello))
    event = await room.wait("the partner's edit", EventType.ROOM_MESSAGE, lambda event: event.content.get_edit() and event.sender == partner)
    equal("what it replaces", event.content.get_edit(), said.event_id)
    file = await room.wait(
        "the partner's file",
        EventType.ROOM_MESSAGE,
        lambda event: event.content.msgtype == MessageType.FILE and event.sender == partner,
    )
    equal("its bytes", await api.download_media(file.content.url), b"from the partner\n")

    url = await api.upload_media(b"from the client\n", mime_type="text/plain", filename="client.txt")
    await api.send_file(room.id, url, file_name="client.txt")
    slip = await api.send_text(room.id, "a slip")
    await room.text("my slip")
    await api.redact(room.id, slip, "it slipped")
    redaction = await room.wait("the partner's redaction", EventType.ROOM_REDACTION, lambda event: event.sender == partner)
    equal("its reason", redaction.content.reason, "it slipped too")
    pruned = await api.get_event(room.id, redaction.redacts)
    equal("the redacted event is empty", pruned.content.serialize(), {})

    await look_back(room, hello, partner)
    await api.send_text(room.id, html="<b>goodbye</b>", text="goodbye")
    await api.leave_room(room.id)
    told("leave")


async def look_back(room: Room, hello: str, partner: UserID) -> None:
    api = room.api
    found, token = [], None
    while True:
        page = await api.get_messages(room.id, PaginationDirection.BACKWARD, from_token=token, limit=5)
        found += page.events
        if not page.events or page.end is None or page.end == token:
            break
        token = page.end
    equal("the history ends at the beginning", found[-1].type, EventType.ROOM_CREATE)
    true("the first message is in it", hello in [event.event_id for event in found])
    context = await api.get_event_context(room.id, hello, limit=4)
    true("a message has a context", context.events_before and context.events_after)
    members = await api.get_joined_members(room.id)
    equal("who is in the room", sorted(members), sorted([api.mxid, partner]))
    levels = await api.get_state_event(room.id, EventType.ROOM_POWER_LEVELS)
    equal("the partner has no power", levels.get_user_level(partner), 0)


