"""What a browser sees in the place of a page that is not there, or not for who looks."""

from html import escape
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response
from starlette.types import Scope as ASGIScope

from infra.access.caller import Caller
from infra.access.grants import Grants, Scope
from infra.console.shell import PLACES, TITLE, head
from infra.http.access import caller_of
from infra.http.problems import Kind, ProblemError, problem_response

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · {product}</title>
{head}
</head>
<body>
<header class="ts-header"><a class="ts-brand" href="/">{product}</a><nav class="ts-nav" aria-label="Main">{places}</nav>
{who}<button class="ts-theme" type="button" id="theme" aria-label="Light or dark colours"></button></header>
<main class="ts-page" id="content"><h1 class="ts-h1">{title}</h1>{content}</main>
</body>
</html>
"""


def may_look(caller: Caller) -> bool:
    """Whether the pages are for a caller: they show all twins."""
    return caller.may(Scope.READ) and caller.grants.unlimited


def wants_page(scope: ASGIScope) -> bool:
    """Whether a request is a browser's that goes somewhere."""
    return scope["method"] == "GET" and "text/html" in Headers(scope=scope).get("accept", "")


def not_found(scope: ASGIScope) -> Response:
    """The answer where no page is."""
    if not wants_page(scope):
        return problem_response(ProblemError(Kind.NOT_FOUND, "no page is here"), scope["path"])
    content = f"<p class='ts-nothing'>Nothing is at <code>{escape(scope['path'])}</code>.</p>{_BACK}"
    return _response(Kind.NOT_FOUND.status, "There is no such page", content, caller_of(scope))


def not_permitted(scope: ASGIScope) -> Response:
    """The answer to whom no page is for."""
    caller = caller_of(scope)
    if not wants_page(scope):
        detail = "the console needs a token with the scope read that is not limited to some twins"
        return problem_response(ProblemError(Kind.FORBIDDEN, detail), scope["path"])
    if caller.may(Scope.READ):
        words = "The console shows all twins, and you may see only some. The API shows you these:"
        content = f"<p class='ts-nothing'>{words}</p>{_granted(caller.grants)}"
    else:
        held = ", ".join(sorted(caller.scopes)) or "none"
        content = f"<p class='ts-nothing'>The console needs the scope read; you have {escape(held)}.</p>"
    return _response(Kind.FORBIDDEN.status, "You may not see this page", content, caller)


_BACK = "<p><a class='ts-link' href='/'>To the fleet</a></p>"


def _granted(grants: Grants) -> str:
    links = [
        f"<li>type {escape(name)}: {_link(f'/api/types/{quote(name)}', 'what it is')},"
        f" {_link(f'/api/twins?type={quote(name)}', 'its twins')}</li>"
        for name in sorted(grants.types)
    ]
    links += [f"<li>{_link(f'/api/twins/{quote(name)}', f'twin {name}')}</li>" for name in sorted(grants.twins)]
    return f"<ul>{''.join(links)}</ul>"


def _link(path: str, words: str) -> str:
    return f'<a class="ts-link" href="{escape(path)}">{escape(words)}</a>'


def _response(status: int, title: str, content: str, caller: Caller) -> Response:
    places = "".join(f'<a class="ts-place" href="{path}">{name}</a>' for name, path in PLACES)
    who = "" if caller.via == "nothing" else f'<span class="ts-who">{escape(caller.name)}</span>'
    if caller.session:
        who += '<button class="ts-button ts-small" type="button" id="logout">Log out</button>'
    page = _PAGE.format(
        title=title,
        product=TITLE,
        head=head(),
        places=places if may_look(caller) else "",
        who=who,
        content=content,
    )
    return HTMLResponse(page, status)
