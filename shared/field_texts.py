"""What stands under a model's fields in its source, read when somebody asks for it.

Pydantic can do that by itself, as each class is made: a tenth of a gateway's start, for texts that only documents show.
"""

import ast
import inspect
from collections.abc import Mapping
from functools import cache
from textwrap import dedent
from types import MappingProxyType

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class Described(BaseModel):
    """Its JSON Schema says of each field what stands under it."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> JsonSchemaValue:
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in field_texts(cls).items():
            properties[cls.model_fields[name].alias or name].setdefault("description", text)
        return schema


@cache
def field_texts(model: type[BaseModel]) -> Mapping[str, str]:
    """By the field's name, where there is one: the string literal right under it. Raises OSError without sources."""
    texts: dict[str, str] = {}
    for class_ in reversed(model.__mro__):
        if issubclass(class_, BaseModel) and class_ is not BaseModel:
            texts.update(_texts(class_))
    return MappingProxyType({name: text for name, text in texts.items() if name in model.model_fields})


def _texts(class_: type) -> dict[str, str]:
    (definition,) = ast.parse(dedent(inspect.getsource(class_))).body
    assert isinstance(definition, ast.ClassDef)
    texts: dict[str, str] = {}
    for field, under in zip(definition.body, definition.body[1:], strict=False):
        match field, under:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                texts[name] = inspect.cleandoc(text)
    return texts
