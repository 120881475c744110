"""Callbacks of approvals, encrypted.

A URL and its secret suffice to answer the pipeline that waits.
"""

from urllib.parse import urlsplit

from dockgate.delivery.model import ApprovalId
from dockgate.delivery.webhook_delivery import Callback
from dockgate.store.records import OutboxEntry, OutboxKind
from dockgate.store.secret_box import SecretBox


class CallbackBox:
    """Encryption for callbacks in the rows of answers, of changed verdicts, and of followed images."""

    def __init__(self, box: SecretBox) -> None:
        self._box = box

    def make_entry(self, approval_id: ApprovalId, callback: Callback) -> OutboxEntry:
        """The outbox entry of an answer. It is not due before the approval is settled."""
        url = urlsplit(callback.url)
        payload = {"callback": self.encrypt(callback), "scheme": url.scheme}
        return OutboxEntry(OutboxKind.WEBHOOK, approval_id, url.netloc, payload)

    def encrypt(self, callback: Callback) -> str:
        """Encrypt a callback; each call gives another text."""
        return self._box.encrypt({"url": callback.url, "secret": callback.secret}).decode()

    def decrypt(self, text: str) -> Callback:
        """Decrypt a callback. StoreError where the key is another one than that of the text."""
        return Callback(**self._box.decrypt(text.encode()))
