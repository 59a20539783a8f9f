"""A word with a Redis-protocol server: what the runner asks about leaders and replicas."""

import socket


class Refused(Exception):
    """The server answered with an error."""


def ask(port, *words, timeout_s=5):
    """The reply to one command: text, a number, None, or a list of these."""
    request = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.sendall(request.encode())
        with connection.makefile("rb") as answers:
            return parse(answers)


def parse(answers):
    """Reads one RESP2 reply."""
    line = answers.readline().decode().rstrip("\r\n")
    kind, rest = line[:1], line[1:]
    if kind == "+":
        return rest
    if kind == ":":
        return int(rest)
    if kind == "-":
        raise Refused(rest)
    if kind == "$":
        return None if rest == "-1" else answers.read(int(rest) + 2)[:-2].decode()
    if kind == "*":
        return [parse(answers) for _ in range(int(rest))]
    raise ConnectionError(f"no reply: '{line}'")


def info(port, section):
    """`INFO section` as a dictionary."""
    lines = ask(port, "INFO", section).splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
