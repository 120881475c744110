"""Send large bodies as the client reads them.

uvicorn takes a whole body at once, and waits for a slow client only before the next one. So a response that is not read
would seem to be complete, while its body stays in memory.
"""

from starlette.types import Message, Send

# Bytes of a body that are sent at once.
PIECE = 256 << 10


def send_in_pieces(send: Send) -> Send:
    """Return what sends as `send` does, a large body in pieces as the client reads them."""

    async def send_paced(message: Message) -> None:
        if message["type"] == "http.response.body":
            body = message.get("body", b"")
            last = max(0, (len(body) - 1) // PIECE * PIECE)
            for start in range(0, last, PIECE):
                await send({**message, "body": body[start : start + PIECE], "more_body": True})
            message = {**message, "body": body[last:]}
        await send(message)

    return send_paced
