"""The language of a block of code, for those that don't say it."""

import json
import re

SHELLS = frozenset(
    {"bash", "sh", "shell", "zsh", "ksh", "fish", "console", "shell-session", "shellsession",
     "terminal"}
)  # fmt: skip
SESSIONS = frozenset({"console", "shell-session", "shellsession"})  # prompts and output belong
# What is written into a file, or printed: nobody runs it.
NOT_COMMANDS = frozenset(
    {"text", "txt", "plain", "plaintext", "output", "log", "json", "jsonc", "yaml", "yml", "toml",
     "ini", "conf", "diff", "xml", "html", "csv", "markdown", "md", "mermaid", "dockerfile"}
)  # fmt: skip

TOOLS = frozenset(
    {"amtool", "ansible", "aws", "awk", "az", "base64", "bash", "bq", "cat", "cd", "chmod",
     "chown", "cmctl", "consul", "cp", "crictl", "ctr", "curl", "date", "df", "dig", "docker",
     "du", "echo", "etcdctl", "exit", "export", "find", "flask", "for", "free", "gcloud", "git",
     "grep", "gsutil", "head", "helm", "host", "if", "ip", "jobs", "journalctl", "jq", "kafka",
     "kill", "kubectl", "less", "ln", "ls", "lsof", "make", "mkdir", "mongo", "mv", "mysql", "nc",
     "netstat", "node", "nomad", "nslookup", "oc", "openssl", "pg_dump", "ping", "pip", "pkill",
     "podman", "promtool", "ps", "psql", "python", "python3", "redis-cli", "rm", "rsync", "scp",
     "sed", "service", "ssh", "ss", "sudo", "systemctl", "tail", "tar", "terraform", "top", "touch",
     "uptime", "vault", "vi", "vim", "watch", "wget", "which", "while", "xargs", "yq"}
)  # fmt: skip
PROMPT = re.compile(
    r"[ \t]{0,40}(?:\$|(?:[\w.-]{1,60}@)[\w.:~/-]{1,120}[$#%]|[\w.-]{1,60}:[\w.~/-]{0,80}[$#]"
    r"|\[[\w.-]{1,60}@[\w.-]{1,120} [\w.~/-]{1,80}\][$#]"
    r"|(?:ba|z)?sh(?:-[\d.]{1,9})?[$#%])[ \t]{1,9}(?=[^\s])"
)
SQL = re.compile(
    r"\s*(?:(?:SELECT|WITH|EXPLAIN)\b.{0,4000}?\bFROM\b|INSERT\s+INTO\b|DELETE\s+FROM\b"
    r"|UPDATE\s+\S{1,80}\s+SET\b|(?:CREATE|ALTER|DROP|TRUNCATE)\s+(?:TABLE|INDEX|DATABASE|VIEW)\b)",
    re.IGNORECASE | re.DOTALL,
)
PROMQL = re.compile(
    r"\s*(?:(?:sum|avg|max|min|count|topk|bottomk|quantile)\s{0,9}(?:by\b|without\b|\()"
    r"|(?:rate|increase|histogram_quantile|absent|avg_over_time|max_over_time)\s{0,9}\()"
)
KEY = re.compile(r"[ \t]*(?:- )?[\w./-]{1,80}:(?:[ \t]|$)")
ASSIGNMENT = re.compile(r"[A-Za-z_]\w{0,80}=\S")
OPTION = re.compile(r"[\w./-]{1,80}[ \t].{0,400}?(?<=\s)--?[a-z]", re.IGNORECASE)


def language_of(code: str) -> str:
    """A guess; `text` if it looks like nothing that we know."""
    lines = [line for line in code.split("\n") if line.strip()]
    if not lines:
        return "text"
    if any(PROMPT.match(line) for line in lines):
        return "console" if any(output_lines(lines)) else "bash"
    if _is_json(code):
        return "json"
    first = next((line.strip() for line in lines if not line.lstrip().startswith("#")), "")
    if _is_shell(first) or lines[0].startswith("#!"):
        return "bash"
    if SQL.match(code):
        return "sql"
    if PROMQL.match(code):
        return "promql"
    if 2 * sum(KEY.match(line) is not None for line in lines) > len(lines) and KEY.match(first):
        return "yaml"
    return "bash" if OPTION.match(first) else "text"


def _is_shell(first: str) -> bool:
    word = re.split(r"[\s;|]", first, maxsplit=1)[0]
    return (
        word.rpartition("/")[2] in TOOLS
        or word.startswith("./")
        or ASSIGNMENT.match(word) is not None
    )


def _is_json(code: str) -> bool:
    if not code.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(code)
    except (ValueError, RecursionError):
        return False
    return True


def output_lines(lines: list[str]) -> list[bool]:
    """For each line of a recorded session whether a command printed it."""
    found: list[bool] = []
    seen, waits_for = False, ""
    command = ""
    for line in lines:
        prompt = PROMPT.match(line)
        if waits_for:  # inside of a text that the shell reads up to that word
            found.append(False)
            waits_for = "" if line.strip() == waits_for else waits_for
        elif prompt or _goes_on(command):
            found.append(False)
            seen = True
            command = line[prompt.end() :] if prompt else f"{command[-2000:]}\n{line}"
            if heredoc := re.search(r"<<-?\s{0,9}[\"']?(\w{1,40})", line):
                waits_for = heredoc[1]
        else:
            found.append(seen and bool(line.strip()) and not line.lstrip().startswith("#"))
            command = ""
    return found


def _goes_on(command: str) -> bool:
    """Whether the next line belongs to the command: a backslash, or a quote that is open."""
    return (
        command.endswith(("\\", "|"))
        or command.count("'") % 2 == 1
        or (command.count('"') - command.count('\\"')) % 2 == 1
    )
