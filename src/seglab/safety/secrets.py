"""What is nobody's business: passwords and keys, found in a text and taken out of it before it is shown or kept."""

from __future__ import annotations

import re

STARS = "***"
# A run of text without white space or a bare quotation mark, as an address stands in a sentence, in JSON or in YAML.
_ADDRESS = re.compile(r'(\w[\w+.-]*://)((?:(?!\w+://)(?:\\.|[^\s"\\]))*)')
# Of these, the name of who signs in is shown: it is no key.
_NAMED_USER = ("postgres", "mysql", "mariadb", "mssql", "oracle", "ssh", "sftp", "git+ssh")
_HOST_AND_PORT = re.compile(r"[\w.-]*:\d{1,5}")
_WORDS = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|(?:auth|access|api|refresh|bearer|session)[_-]?token|token|sig(?:nature)?"
    r"|(?:api|access|secret|account|private|auth)[_-]?key|credentials?)"
)
_NAME = rf"(?:[A-Za-z0-9]+[_.-])*{_WORDS}(?:[_-](?:id|value|key))?"
# key=value on a command line, in a query or a variable; "key": "value" in JSON.
_ASSIGNED = re.compile(rf'(?i)((?<![\w-]){_NAME}=)("(?:\\.|[^"\\])*"|\'[^\']*\'|[^\s&;,"\'\\)\]}}]+)')
_IN_JSON = re.compile(rf'(?i)("{_NAME}"\s*:\s*)"(?:\\.|[^"\\])*"')
_KEYS = re.compile(
    r"\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{20,}"
    r"|sk-[\w-]{20,}|xox[abprs]-[\w-]{10,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+|AIza[\w-]{30,})"
)
_PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY")
_SECRET_NAME = re.compile(rf"(?i){_NAME}")
# In a line of code or settings: the name of a secret, and what is written behind it as it stands.
_LITERAL = re.compile(rf"""(?i)(?<![\w]){_NAME}["']?\s*(?::[^=:"']*)?[=:]\s*[bru]?["']([^"']+)["']""")
_BARE = re.compile(rf"""(?i)^[\s+-]*(?:export\s+)?["']?{_NAME}["']?\s*[=:]\s*([^\s"'#]\S*)""")
_NO_SECRET = re.compile(r"(?i)(?:null|none|true|false|~|\?\?\?|[\[{].*|\*+|\$.*|<.*)")


def redacted(text: str) -> str:
    """The text with what is secret in it replaced by stars.

    Secret are the password of an address (`scheme://user:password@host`, whatever the password holds), a key in the
    place of a user (`https://key@host`), the value of a name such as `password` or `api_key` (`?password=…`,
    `"token": "…"`), and keys that are known by their form.
    """
    text = _ADDRESS.sub(lambda found: found[1] + _without_user(found[1], found[2]), text)
    text = _ASSIGNED.sub(lambda found: f"{found[1]}{STARS}", text)
    text = _IN_JSON.sub(lambda found: f'{found[1]}"{STARS}"', text)
    return _KEYS.sub(STARS, text)


def is_secret_name(name: str) -> bool:
    """Whether a setting of this name holds a secret: `password`, `db.api_key`."""
    return _SECRET_NAME.fullmatch(name) is not None


def secret_in(line: str, code: bool = False) -> str | None:
    """What in a line of a file looks like a secret, in words that do not tell it; None when nothing does.

    Args:
        line: of a file.
        code: a line of Python: only what is written in quotation marks is a value.
    """
    if _PRIVATE_KEY.search(line):
        return "a private key"
    if _KEYS.search(line):
        return "a key of a known form"
    for found in _ADDRESS.finditer(line):
        user, at, _ = found[2].rpartition("@")
        if at and not re.search(r"[{}<>$]", user) and _without_user(found[1], found[2]) != found[2]:
            return "an address with a password"
    for pattern in (_LITERAL,) if code else (_LITERAL, _BARE, _ASSIGNED):
        for match in pattern.finditer(line):
            value = match[match.lastindex or 1].strip("\"'")
            if value and not _NO_SECRET.fullmatch(value):
                return "the value of a password, token or key"
    return None


def _without_user(scheme: str, rest: str) -> str:
    """The rest of an address behind its `scheme://`, with stars for what signs in."""
    user, at, behind = rest.rpartition("@")
    if not at:
        return rest
    authority, slash, _ = rest.partition("/")
    if slash and "@" not in authority:
        # The @ stands behind a slash: of a path, unless a password with a slash stands before it.
        served = scheme.startswith("http") and _HOST_AND_PORT.fullmatch(authority)
        if ":" not in authority or served:
            return rest
    name, colon, _ = user.partition(":")
    if colon and "@" not in name:
        return f"{name}:{STARS}@{behind}"
    return rest if scheme.startswith(_NAMED_USER) and not colon else f"{STARS}@{behind}"
