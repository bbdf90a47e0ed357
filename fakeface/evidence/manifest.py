"""What one C2PA manifest says of how the picture was made, and of how much of it.

A manifest speaks of the whole picture where it says how that was created (`c2pa.created`, a source
type in its metadata), and of a part where it tells of an edit or of a picture that was put in.
Specification: https://spec.c2pa.org/specifications/specifications/2.4/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

from fakeface.evidence.known import Known, Says, Scope, Source, load_known, name_in, plain
from fakeface.evidence.text import clean

PARTS_BY_AI: Final = "parts of it were made with a generative model"

_STRENGTH: Final = (("ai", "whole"), ("ai", "part"), ("edited", "part"), ("camera", "whole"))
_HARMLESS: Final = {
    *("created", "opened", "placed", "published", "converted", "transcoded", "repackaged"),
    *("resized", "orientation", "watermarked", "unknown"),
    *("watermarked.bound", "watermarked.unbound"),
}
# Assertions of metadata, which are about the picture as it is.
_METADATA: Final = re.compile(r"stds\.|c2pa\.metadata|cawg\.metadata")
_MOST: Final = 1000  # elements of any list
_DEPTH: Final = 12  # of maps and lists within each other


class Statement(NamedTuple):
    """One thing that a manifest says: what, of which part, and in words."""

    says: Says
    scope: Scope
    words: str


def summarise(manifest: Mapping[str, Any]) -> tuple[Says, Scope | None, list[str]]:
    """The strongest statement, of which part it is, and all of them in words, strongest first."""
    found = sorted(set(statements(manifest)), key=_rank)
    if not found:
        return "unknown", None, []
    words = list(dict.fromkeys(statement.words for statement in found))[:4]
    says = found[0].says
    return says, None if says == "unknown" else found[0].scope, words


def _rank(statement: Statement) -> tuple[int, str]:
    kind = statement[:2]
    return (_STRENGTH.index(kind) if kind in _STRENGTH else len(_STRENGTH)), statement.words


def statements(manifest: Mapping[str, Any]) -> Iterator[Statement]:
    """Everything that a manifest says of how the picture was made."""
    table = load_known()
    found: list[Statement] = []
    actions: list[Mapping[str, Any]] = []
    legacy = False
    scope: Scope
    for assertion in _list(manifest.get("assertions")):
        label = re.sub(r"__\d+$", "", str(assertion.get("label")))
        data = assertion.get("data")
        if label in ("c2pa.actions", "c2pa.actions.v2"):
            actions += _actions(data)
        elif label in table.ai_assertions:
            legacy = True
            found.append(_by_ai(_scope_of_tool(manifest), _names(table, _at(data, "description"))))
        elif not label.startswith("c2pa.ingredient"):  # these are told apart below
            scope = "whole" if _METADATA.match(label) else _scope_of_tool(manifest)
            found += (_of(source, scope) for source in _sources(table, data))
    for action in actions:
        found += _of_action(table, action)
    if edits := [action for action in actions if _kind(action) not in {"", *_HARMLESS}]:
        agents = [agent for action in edits for agent in _agents(action)]
        found.append(
            Statement("edited", "part", "edited with " + (_join_names(agents) or "software"))
        )
    for ingredient in _list(manifest.get("ingredients")):
        found += _of_ingredient(table, ingredient)
    if not legacy and all(statement.says != "ai" for statement in found):
        found += _of_program(table, manifest, actions)
    yield from found


def _of(source: Source, scope: Scope, tools: str = "") -> Statement:
    """A source type as a statement; of an edit, it is about a part whatever the type is."""
    if source.says != "ai":
        return Statement(source.says, source.scope, source.words)
    if "part" in (scope, source.scope):
        words = source.words if source.scope == "part" else PARTS_BY_AI
        return Statement("ai", "part", words + tools)
    return Statement("ai", "whole", source.words + tools)


def _by_ai(scope: Scope, tools: str) -> Statement:
    words = "made by a generative model" if scope == "whole" else PARTS_BY_AI
    return Statement("ai", scope, words + tools)


def _of_action(table: Known, action: Mapping[str, Any]) -> Iterator[Statement]:
    kind = _kind(action)
    scope: Scope = "whole" if kind == "created" else "part"
    sources = list(_sources(table, action))
    agents = _agents(action)
    if any(source.says == "ai" for source in sources):
        models = _values(action.get("parameters"), table.model_keys)
        tools = _names(table, *agents, *models)
        yield from (_of(source, scope, tools) for source in sources if source.says == "ai")
    elif (
        not sources
        and (kind == "created" or kind not in _HARMLESS)
        and any(name_in(table.signed_generators, agent) for agent in agents)
    ):
        yield _by_ai(scope, _names(table, *agents))
    # A camera or a drawing that an edit brought in is of another picture.
    if kind == "created":
        yield from (_of(source, scope) for source in sources if source.says != "ai")
    else:
        yield from (_of(source, scope) for source in sources if source.says == "edited")


def _of_ingredient(table: Known, ingredient: Mapping[str, Any]) -> Iterator[Statement]:
    """The source type of a picture that this one was made from or that was put into it."""
    for source in _sources(table, ingredient):
        if source.says != "ai":
            continue
        if ingredient.get("relationship") == "parentOf":
            scope = source.scope
            yield Statement("ai", scope, f"made from a picture of which is said: {source.words}")
        else:
            yield Statement("ai", "part", PARTS_BY_AI)


def _of_program(
    table: Known, manifest: Mapping[str, Any], actions: list[Mapping[str, Any]]
) -> Iterator[Statement]:
    """A generator that wrote the manifest, where nothing else says how the picture was made."""
    if any(_kind(a) == "created" and any(_sources(table, a)) for a in actions):
        return
    kinds = {_kind(action) for action in actions}
    if actions and "created" not in kinds and not kinds - _HARMLESS:
        return  # it passed a picture on
    for program in programs(manifest):
        if name_in(table.signed_generators, program):
            yield _by_ai(_scope_of_tool(manifest), _names(table, program))
            return


def _scope_of_tool(manifest: Mapping[str, Any]) -> Scope:
    """Of what a generator speaks that took part: of a picture that was opened, it made a part."""
    parents = any(i.get("relationship") == "parentOf" for i in _list(manifest.get("ingredients")))
    kinds = {
        _kind(action)
        for assertion in _list(manifest.get("assertions"))
        if str(assertion.get("label")).startswith("c2pa.actions")
        for action in _actions(assertion.get("data"))
    }
    return "part" if "created" not in kinds and (parents or "opened" in kinds) else "whole"


def programs(manifest: Mapping[str, Any]) -> list[str]:
    """The names of the programs that wrote a manifest, the first of which is the main one."""
    infos = _list(manifest.get("claim_generator_info"))
    names = [_at(info, "name") for info in infos] + [manifest.get("claim_generator")]
    found = []
    for name in names:
        if isinstance(name, str) and name.strip():
            found.append(name)
            if "/" in name:  # "Adobe_Firefly/1.0 c2pa-rs/0.33", as browsers name themselves
                found.append(name.partition("/")[0])
    return found


def _actions(data: object) -> list[Mapping[str, Any]]:
    """The actions of an assertion, each with its template and the agent that it names by number."""
    if not isinstance(data, Mapping):
        return []
    agents = _list(data.get("softwareAgents"))
    templates = {str(template.get("action")): template for template in _list(data.get("templates"))}
    found: list[Mapping[str, Any]] = []
    for action in _list(data.get("actions")):
        action = {**templates.get(str(action.get("action")), {}), **action}
        number = action.get("softwareAgentIndex")
        if "softwareAgent" not in action and isinstance(number, int) and 0 <= number < len(agents):
            action = {**action, "softwareAgent": agents[number]}
        found.append(action)
    return found


def _kind(action: Mapping[str, Any]) -> str:
    """The name of an action of the standard, without its prefix; empty for one of a vendor."""
    name = action.get("action")
    return name[5:] if isinstance(name, str) and name.startswith("c2pa.") else ""


def _sources(table: Known, node: object) -> Iterator[Source]:
    for value in _values(node, table.source_keys):
        # A text, a list of them, or in JSON-LD a map with the address as "@id".
        for item in value if isinstance(value, list) else [value]:
            if source := table.source(_at(item, "@id") if isinstance(item, Mapping) else item):
                yield source


def _values(node: object, names: set[str] | frozenset[str], depth: int = _DEPTH) -> Iterator[Any]:
    """The values under a key, anywhere: "digitalSourceType" with any prefix and in any spelling."""
    if depth and isinstance(node, Mapping):
        for key, value in islice(node.items(), _MOST):
            if re.split("[:.]", str(key))[-1].replace("_", "").lower() in names:
                yield value
            else:
                yield from _values(value, names, depth - 1)
    elif depth and isinstance(node, list):
        for value in islice(node, _MOST):
            yield from _values(value, names, depth - 1)


def _list(node: object) -> list[Mapping[str, Any]]:
    """The maps of a list, and nothing where it is none: a stranger wrote it."""
    if not isinstance(node, list):
        return []
    return [item for item in islice(node, _MOST) if isinstance(item, Mapping)]


def _at(node: object, key: str) -> object:
    return node.get(key) if isinstance(node, Mapping) else None


def _agents(action: Mapping[str, Any]) -> list[str]:
    """The names of an action's software agents, each of which is a text or a map."""
    agents = _values(action, {"softwareagent"})
    names = (_at(agent, "name") if isinstance(agent, Mapping) else agent for agent in agents)
    return [name for name in names if isinstance(name, str) and name.strip()]


def _names(table: Known, *tools: object) -> str:
    """Tools in brackets; empty without any."""
    texts = [clean(tool) for tool in tools if isinstance(tool, str) and tool.strip()]
    joined = _join_names([_usual(table, text) for text in texts])
    return f" ({joined})" if joined else ""


def _usual(table: Known, text: str) -> str:
    """A tool as it is named, after the generator's usual name where that is another."""
    name = name_in(table.signed_generators, text)
    if name is None or plain(name) in plain(text):
        return name if name and plain(name) == plain(text) else text
    return f"{name}: {text}"


def _join_names(names: list[str]) -> str:
    return ", ".join(dict.fromkeys(clean(name, 40) for name in names[:5]))
