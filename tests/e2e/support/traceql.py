"""The part of TraceQL that an alerter asks: enough to answer truly, and an error for everything else.

    { EXPR } [| by(span:id)] [| count() > N] [| select(FIELD, ...)] [with (KEY=VALUE)]
    { EXPR } | FUNCTION([duration]) [by (FIELD, ...)] [with (KEY=VALUE)]
"""

import re
from dataclasses import dataclass, field

TOKEN = re.compile(
    r"""\s*(?:
        (?P<duration>\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))
      | (?P<number>-?\d+(?:\.\d+)?)
      | (?P<string>"(?:[^"\\]|\\.)*"|`[^`]*`)
      | (?P<op>\|\||&&|!=|=~|!~|>=|<=|[=<>!(){},|*])
      | (?P<word>[A-Za-z_.][A-Za-z0-9_.:\-/]*)
    )""",
    re.X,
)
UNITS_NS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
KEYWORDS = {"error", "ok", "unset", "server", "client", "consumer", "producer", "internal", "unspecified", "true", "false", "nil"}
FIELDS = {
    "status", "kind", "duration", "name", "statusMessage", "rootName", "rootServiceName", "traceDuration", "nestedSetParent",
    "span:status", "span:kind", "span:duration", "span:name", "span:statusMessage", "span:id", "span:parentID",
    "trace:id", "trace:duration", "trace:rootName", "trace:rootService",
}  # fmt: skip
FUNCTIONS = {"count_over_time", "rate", "histogram_over_time", "max_over_time", "min_over_time", "sum_over_time"}


class NotUnderstood(Exception):
    """The question is outside the subset: the stand-in must be taught, or the question is wrong."""


@dataclass
class Query:
    test: object  # span view -> bool
    compares: list = field(default_factory=list)  # (field, operator, value) in the filter
    by_span: bool = False  # one span set for each span
    over: tuple = None  # ("count", operator, number) of spans of a trace
    select: list = field(default_factory=list)
    function: str = None
    by: list = field(default_factory=list)
    hints: dict = field(default_factory=dict)


def tokens_of(text):
    tokens, at = [], 0
    while at < len(text.rstrip()):
        match = TOKEN.match(text, at)
        if not match:
            raise NotUnderstood(f"cannot read {text[at:at + 20]!r}")
        tokens.append((match.lastgroup, match.group(match.lastgroup)))
        at = match.end()
    return tokens


class Parser:
    def __init__(self, text):
        self.tokens = tokens_of(text)
        self.at = 0
        self.compares = []

    def peek(self):
        return self.tokens[self.at][1] if self.at < len(self.tokens) else None

    def next(self, want=None):
        token = self.tokens[self.at] if self.at < len(self.tokens) else (None, None)
        if token[0] is None or (want is not None and token[1] != want):
            raise NotUnderstood(f"expected {want or 'more'}, got {token[1]!r}")
        self.at += 1
        return token

    def accept(self, text):
        if self.peek() == text:
            self.at += 1
            return True
        return False

    # { … }
    def either(self):
        tests = [self.both()]
        while self.accept("||"):
            tests.append(self.both())
        return tests[0] if len(tests) == 1 else lambda span: any(test(span) for test in tests)

    def both(self):
        tests = [self.one()]
        while self.accept("&&"):
            tests.append(self.one())
        return tests[0] if len(tests) == 1 else lambda span: all(test(span) for test in tests)

    def one(self):
        if self.accept("("):
            test = self.either()
            self.next(")")
            return test
        if self.accept("!"):
            test = self.one()
            return lambda span: not test(span)
        return self.comparison()

    def comparison(self):
        name = self.field()
        factor = self.literal() if self.accept("*") else None
        operator = self.next()[1]
        value = self.literal()
        if operator not in ("=", "!=", "<", ">", "<=", ">=", "=~", "!~"):
            raise NotUnderstood(f"operator {operator!r}")
        if factor is not None:  # arithmetic: Tempo reads every span and compares then
            return lambda span: compare(times(span.get(name), factor), operator, value)
        self.compares.append((name, operator, value))
        return lambda span: compare(span.get(name), operator, value)

    def field(self):
        kind, text = self.next()
        if kind != "word" or not (text in FIELDS or re.match(r"^(span|resource)?\.[A-Za-z0-9_.\-/]+$", text)):
            raise NotUnderstood(f"field {text!r}")
        return text

    def literal(self):
        kind, text = self.next()
        if kind == "duration":
            number, unit = re.match(r"([\d.]+)(.*)", text).groups()
            return round(float(number) * UNITS_NS[unit])
        if kind == "number":
            return float(text) if "." in text else int(text)
        if kind == "string":
            return re.sub(r"\\(.)", r"\1", text[1:-1]) if text[0] == '"' else text[1:-1]
        if kind == "word" and text in KEYWORDS:
            return {"true": True, "false": False, "nil": None}.get(text, text)
        raise NotUnderstood(f"value {text!r}")

    # | …
    def fields(self):
        names = [self.field()]
        while self.accept(","):
            names.append(self.field())
        self.next(")")
        return names

    def stage(self, query):
        word = self.next()[1]
        self.next("(")
        if word == "by":
            if self.fields() != ["span:id"]:
                raise NotUnderstood("by() anything but span:id")
            query.by_span = True
        elif word == "select":
            query.select += self.fields()
        elif word == "count":
            self.next(")")
            query.over = ("count", self.next()[1], self.literal())
        elif word in FUNCTIONS and query.function is None:
            if self.peek() != ")" and self.next()[1] != "duration":
                raise NotUnderstood(f"{word} over anything but duration")
            self.next(")")
            query.function = word
            if self.accept("by"):
                self.next("(")
                query.by = self.fields()
        else:
            raise NotUnderstood(f"stage {word!r}")

    def hints(self, query):
        self.next("(")
        while not self.accept(")"):
            key = self.next()[1]
            self.next("=")
            query.hints[key] = self.literal()
            self.accept(",")

    def query(self):
        self.next("{")
        test = (lambda span: True) if self.peek() == "}" else self.either()
        self.next("}")
        query = Query(test, self.compares)
        while self.at < len(self.tokens):
            if self.accept("|"):
                self.stage(query)
            elif self.accept("with"):
                self.hints(query)
            else:
                raise NotUnderstood(f"{self.peek()!r} after the filter")
        return query


def times(value, factor):
    return value * factor if isinstance(value, (int, float)) else None


def compare(have, operator, want):
    if want is None:
        return (have is not None) == (operator == "!=")
    if have is None:
        return operator == "!="
    if operator in ("=~", "!~"):
        return (re.fullmatch(want, str(have)) is not None) == (operator == "=~")
    if isinstance(have, str) != isinstance(want, str):
        return operator == "!="
    return {
        "=": have == want,
        "!=": have != want,
        "<": have < want,
        ">": have > want,
        "<=": have <= want,
        ">=": have >= want,
    }[operator]


def parse(text):
    return Parser(text).query()
