"""The dialects there are beside chat, by their doors."""

from collections.abc import Mapping

from gateway.dialects.adapter import Spoken
from gateway.dialects.messages.dialect import CountTokens, Messages
from gateway.dialects.responses.dialect import Responses
from gateway.providers.base import Dialect, Door

DIALECTS: Mapping[Door, Dialect] = {
    Door.MESSAGES: Spoken(Messages()),
    Door.COUNT_TOKENS: Spoken(CountTokens()),
    Door.RESPONSES: Spoken(Responses()),
}
