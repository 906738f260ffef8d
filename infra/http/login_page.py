"""The page on which one logs in: small, without anything from elsewhere."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in · twinstream</title>
<style nonce="{nonce}">
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
body {{ display: grid; place-items: center; min-height: 90vh; margin: 0; padding: 1rem; }}
form {{ width: min(26rem, 100%); display: grid; gap: .75rem; }}
h1 {{ font-size: 1.4rem; margin: 0; }}
input, button {{ font: inherit; padding: .6rem .75rem; border-radius: .4rem; border: 1px solid #8889; }}
button {{ cursor: pointer; background: #1565c0; color: #fff; border-color: #1565c0; }}
p {{ margin: 0; }}
#said {{ min-height: 1.5em; color: light-dark(#b00020, #ff8a80); }}
</style>
</head>
<body>
<main>
<form id="form">
<h1>twinstream</h1>
<p><label for="token">Token, as <code>twinstream token create</code> showed it</label></p>
<input id="token" type="password" autocomplete="current-password" required autofocus spellcheck="false">
<button>Log in</button>
<p id="said" role="alert"></p>
</form>
</main>
<script nonce="{nonce}">
const said = document.getElementById("said");
// Only a path of this server: a second slash or a backslash would name another one.
const asked = new URLSearchParams(location.search).get("next") || "/";
const next = /^\\/(?![\\/\\\\])/.test(asked) ? asked : "/";
document.getElementById("form").addEventListener("submit", async (event) => {{
  event.preventDefault();
  said.textContent = "";
  try {{
    const answer = await fetch("/api/session", {{
      method: "POST",
      headers: {{"content-type": "application/json"}},
      body: JSON.stringify({{token: document.getElementById("token").value.trim()}}),
    }});
    if (answer.ok) {{ location.replace(next); return; }}
    said.textContent = (await answer.json()).detail;
  }} catch {{ said.textContent = "no answer from the server"; }}
}});
</script>
</body>
</html>
"""


def login_page(nonce: str) -> str:
    """The page; `nonce` lets its own script and style through the content policy, and nothing else."""
    return _PAGE.format(nonce=nonce)
