"""Chat completions in a server's dialect: the name of the length limit, accepted parameters, the reply format."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tutelage.judges.common.http import Refused, Servers
from tutelage.judges.common.prompts import Message

CONTINUE = {"add_generation_prompt": False, "continue_final_message": True}
OPTIONAL = ("temperature", "top_p", "seed")  # some hosted servers refuse these
TOP, FEWER = 20, 5  # most probable tokens that are listed: usually, and by servers that list no more
TOO_MANY = (
    "top_logprobs",
    "top_n_tokens",
)  # in refusals; text-generation-inference has the second
MODERATED = 403  # the status of servers that refuse a text before they answer
A = TypeVar("A")


class Chat:
    """Requests to /chat/completions. While `url` is set, that server is being probed.

    room: extra tokens of a reply in which a reasoning model thinks before it answers
    """

    def __init__(self, servers: Servers, model: str) -> None:
        self.servers, self.model = servers, model
        self.url = ""
        self.limit = "max_tokens"
        self.left_out: set[str] = set()
        self.top = TOP
        self.room = 0

    def complete(
        self, messages: Sequence[Message], read: Callable[[Any], A], *, tokens: int, think: bool = False, **fields: Any
    ) -> A:
        """`read` applied to the reply to a chat completion. tokens: most tokens of the answer

        `top_logprobs` is lowered where the server lists fewer.
        """
        while True:
            body = {"model": self.model, "messages": list(messages), self.limit: tokens + (self.room if think else 0)}
            body |= {name: value for name, value in fields.items() if name not in self.left_out}
            body |= {"top_logprobs": min(body["top_logprobs"], self.top)} if "top_logprobs" in body else {}
            body |= CONTINUE if messages[-1]["role"] == "assistant" else {}
            try:
                return self.ask("/chat/completions", body, lambda reply: read(unmoderated(reply)))
            except Refused as refused:
                if not self._adapted(refused):
                    raise

    def ask(self, path: str, body: dict[str, Any] | None, read: Callable[[Any], A], *, root: bool = False) -> A:
        """`read` applied to the reply to another request."""
        return self.servers.ask(path, body, read, url=self.url, root=root, trying=bool(self.url))

    def _adapted(self, refused: Refused) -> bool:
        """Whether the refusal names a parameter that can be renamed or left out. While probing only."""
        if not self.url or refused.status not in (400, 422):
            return False
        if "max_completion_tokens" in refused.said and self.limit == "max_tokens":
            self.limit = "max_completion_tokens"
            return True
        if self.top > FEWER and any(name in refused.said for name in TOO_MANY):
            self.top = FEWER
            return True
        named = {name for name in OPTIONAL if name in refused.said} - self.left_out
        self.left_out |= named
        return bool(named)

    @property
    def dialect(self) -> dict[str, str]:
        """Differences from the standard request, for the identity."""
        facts = {} if self.limit == "max_tokens" else {"limit": self.limit}
        facts |= {} if self.top == TOP else {"top_logprobs": str(self.top)}
        facts |= {"left_out": ", ".join(sorted(self.left_out))} if self.left_out else {}
        return facts | ({"thinks": f"{self.room} tokens"} if self.room else {})

    def restore(self, facts: dict[str, Any]) -> None:
        """Restore the dialect of an identity."""
        self.limit = str(facts.get("limit", "max_tokens"))
        self.top = int(facts.get("top_logprobs", TOP))
        self.left_out = {name for name in str(facts.get("left_out", "")).split(", ") if name}
        self.room = int(str(facts.get("thinks", "0")).split()[0])


def unmoderated(reply: Any) -> Any:
    """The reply; or Refused where a filter has stopped it: what is there of it is no answer."""
    if any(choice.get("finish_reason") == "content_filter" for choice in reply["choices"]):
        raise Refused(MODERATED, "a content filter stopped the reply")
    return reply


def written(reply: Any) -> tuple[str, bool]:
    """The text of a reply, and whether the model ended it. Parts that are not text (thinking) are left out."""
    choice = reply["choices"][0]
    content = choice["message"].get("content")
    if content is None:
        content = ""
    if isinstance(content, list):
        content = "".join(part["text"] for part in content if part.get("type", "text") in ("text", "output_text"))
    if not isinstance(content, str):
        raise TypeError("the content is not text")
    return content, choice.get("finish_reason") != "length"


def thinks(reply: Any) -> bool:
    """Whether a reply contains thinking: as a separate field or part, or as an empty reply that reached the limit."""
    choice = reply["choices"][0]
    message = choice["message"]
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    if any(part.get("type") not in (None, "text", "output_text") for part in parts):
        return True
    return bool(message.get("reasoning_content") or message.get("reasoning")) or (
        not content and choice.get("finish_reason") == "length"
    )
