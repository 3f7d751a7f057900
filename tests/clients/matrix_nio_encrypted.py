"""matrix-nio with its encryption: two users, one of them with two devices. Arguments: the homeserver's URL, the partner's
user ID (who sees nothing but ciphertext)."""

import asyncio
import io
import sys

from nio import Api, AsyncClient, AsyncClientConfig
from nio.crypto.attachments import decrypt_attachment
from nio.events import (
    KeyVerificationAccept,
    KeyVerificationKey,
    KeyVerificationMac,
    KeyVerificationStart,
    RoomEncryptedFile,
    RoomMessageText,
    RoomKeyEvent,
)
from nio.responses import ErrorResponse

from steps import PASSWORD, Seen, equal, eventually, failed, told, true

ENCRYPTION = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}


def done(what, response):
    """The answer of a request, or the end of the program."""
    if isinstance(response, ErrorResponse):
        failed(f"{what}: {response}")
    told(what)
    return response


class Device:
    """A client that syncs, keeps its keys in the folder where it runs, and remembers what it saw."""

    def __init__(self, homeserver, user):
        config = AsyncClientConfig(encryption_enabled=True, max_timeouts=0, request_timeout=40)
        self.client = AsyncClient(homeserver, user, store_path=".", config=config)
        self.seen = Seen()
        self.task = None

    async def begin(self):
        client = self.client
        done(f"{client.user} logs in", await client.login(PASSWORD))
        client.add_event_callback(lambda room, event: self.seen.add((room.room_id, event)), None)
        client.add_to_device_callback(lambda event: self.seen.add(("", event)), None)
        done("the first sync", await client.sync(timeout=0, full_state=True))
        self.task = asyncio.create_task(client.sync_forever(timeout=30_000))
        await self.until("its keys are uploaded", lambda: not client.should_upload_keys)

    async def until(self, what, holds):
        """Until the client's own picture is as it should be. It asks for keys after the sync that tells of them."""

        async def ask():
            return holds()

        await eventually(what, ask)

    async def reads(self, room, body):
        what = f"{self.client.user_id} on {self.client.device_id} reads {body!r}"
        fits = lambda item: item[0] == room and isinstance(item[1], RoomMessageText) and item[1].body == body  # noqa: E731
        _, event = await self.seen.wait(what, fits)
        true("it was encrypted", event.decrypted)
        return event

    async def told_by(self, kind, what):
        _, event = await self.seen.wait(what, lambda item: isinstance(item[1], kind))
        return event

    async def send(self, room, content):
        sent = await self.client.room_send(room, "m.room.message", content, ignore_unverified_devices=True)
        return done(f"send {content['body']!r}", sent).event_id

    async def end(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        if self.client.logged_in:
            done("log out", await self.client.logout())
        await self.client.close()


def text(body):
    return {"msgtype": "m.text", "body": body}


async def register(homeserver, name):
    client = AsyncClient(homeserver, "")
    user = done(f"{name} registers", await client.register(name, PASSWORD)).user_id
    done("and logs out", await client.logout())
    await client.close()
    return user


async def file(alice, bob, room):
    secret = b"a file that the server cannot read\n"
    uploaded, keys = await alice.client.upload(io.BytesIO(secret), "text/plain", "secret.txt", encrypt=True, filesize=len(secret))
    uri = done("upload an encrypted file", uploaded).content_uri
    await alice.send(room, {"msgtype": "m.file", "body": "secret.txt", "file": {"url": uri} | keys})
    event = await bob.told_by(RoomEncryptedFile, "the file")
    fetched = done("download it", await bob.client.download(event.url)).body
    true("the server has the ciphertext only", secret not in fetched)
    clear = decrypt_attachment(fetched, event.key["k"], event.hashes["sha256"], event.iv)
    equal("it can be read with its key", clear, secret)


async def verify(alice, bob):
    """The two compare emoji, by messages from device to device."""
    device = alice.client.device_store[bob.client.user_id][bob.client.device_id]
    done("begin to verify", await alice.client.start_key_verification(device))
    start = await bob.told_by(KeyVerificationStart, "the beginning")
    done("accept", await bob.client.accept_key_verification(start.transaction_id))
    await alice.told_by(KeyVerificationAccept, "the acceptance")
    await bob.told_by(KeyVerificationKey, "the first key")
    await alice.told_by(KeyVerificationKey, "the second key")
    sides = [side.client.key_verifications[start.transaction_id] for side in (alice, bob)]
    equal("both see the same emoji", sides[0].get_emoji(), sides[1].get_emoji())
    for side in (alice, bob):
        done("say so", await side.client.confirm_short_auth_string(start.transaction_id))
    for side in (alice, bob):
        await side.told_by(KeyVerificationMac, "the other's word for it")
    await alice.until("the device is verified", lambda: device.verified)


async def main(homeserver, partner):
    users = [await register(homeserver, name) for name in ("nio-alice", "nio-bob")]
    alice, bob = [Device(homeserver, user) for user in users]
    await alice.begin()
    await bob.begin()

    made = await alice.client.room_create(name="A secret", invite=[users[1], partner], initial_state=[ENCRYPTION])
    room = done("create an encrypted room", made).room_id
    await bob.until("bob is invited", lambda: room in bob.client.invited_rooms)
    done("bob joins", await bob.client.join(room))
    joined = lambda: room in alice.client.rooms and users[1] in alice.client.rooms[room].users  # noqa: E731
    await alice.until("alice sees him", joined)
    await alice.until("and his device", lambda: bob.client.device_id in alice.client.device_store[users[1]])
    await bob.until("bob knows the room", lambda: room in bob.client.rooms and bob.client.rooms[room].encrypted)

    sent = await alice.send(room, text("the first secret"))
    equal("it is the same event", (await bob.reads(room, "the first secret")).event_id, sent)
    answer = await bob.client.send(*Api.room_get_event(bob.client.access_token, room, sent))
    raw = await answer.json()
    equal("what the server has is encrypted", (raw["type"], "body" in raw["content"]), ("m.room.encrypted", False))
    await bob.until("bob sees alice's device", lambda: alice.client.device_id in bob.client.device_store[users[0]])
    await bob.send(room, text("the second secret"))
    await alice.reads(room, "the second secret")
    await file(alice, bob, room)
    await verify(alice, bob)

    # A device that was not there when the conversation began.
    phone = Device(homeserver, users[1])
    await phone.begin()
    await alice.until("alice hears of the new device", lambda: phone.client.device_id in alice.client.device_store[users[1]])
    await phone.until("the new device knows the room", lambda: room in phone.client.rooms)
    await alice.send(room, text("the third secret"))
    await phone.told_by(RoomKeyEvent, "the key of the session")
    await phone.reads(room, "the third secret")
    await bob.reads(room, "the third secret")
    left = phone.client.device_id
    await phone.end()
    await alice.until("alice hears that it is gone", lambda: alice.client.device_store[users[1]][left].deleted)
    await alice.send(room, text("the last secret"))
    await bob.reads(room, "the last secret")
    await alice.end()
    await bob.end()


asyncio.run(main(*sys.argv[1:]))
