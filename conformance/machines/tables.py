"""Values at, beside and far beyond what the contract takes: the tables of the part by hand."""

# Formatted by hand: a value a line would be a thousand lines.
# fmt: off
from __future__ import annotations

Field = tuple[str, str | bytes]
FORGED = "a.b.c"

PATHS = ("/users", "/users/me", "/users/{user}", "/tokens", "/items", "/items/{item}")
PROBES = ("/healthz", "/readyz", "/ws/echo", "/ws/events")
NO_ROUTES = (
    "/", "/user", "/Users", "/USERS", "/users/me/", "/users/Me", "/users/me/x", "/users/",
    "/items/", "/tokens/", "/tokens/1", "/healthz/", "/healthz/x", "/readyz/", "/ws", "/ws/",
    "/ws/echo/", "/ws/Echo", "/ws/other", "/ws/events/1", "/users.json", "/items/1.json",
    "/items/1/tags", "/users/1/items", "/items;a=1", "/users/1;v=2", "/.", "/items/.", "/static",
    "/favicon.ico", "/robots.txt", "/api/users", "/v1/users", "/health", "/index.html",
)
ODD_IDS = (
    "0", "00", "007", "01", "-1", "+1", "1.0", "1e0", "1_0", "0x1", "1,0", "1-", "a", "1a", "me1",
    "999999999999999999", "1000000000000000000", "9223372036854775807", "9223372036854775808",
    "18446744073709551616", "1" * 40, "100000000000000000", "1;2", "1:2", "1@", "~1", "$1", "(1)",
)
CREDENTIALS = (
    "", " ", "Bearer", "Bearer ", "bearer", "BEARER  ", "Bearer x", f"Bearer {FORGED}",
    "Bearer a.b", "Bearer a.b.c.d", "Bearer ..", "Basic YTpi", "Basic", "Token x", "Bearerx",
    "Bearer,x", "Bearer\tx", "Bearer =", "Bearer é", "Digest a=b", '"Bearer" x', "Bearer null",
    "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", "Bearer {}.{}.{}", "x Bearer y",
)
FORMS = (
    "Bearer {}", "bearer {}", "BEARER {}", "BeArEr {}", "Bearer  {}", "Bearer     {}", "{}",
    "Bearer {} x", "Bearer {} {}", "Bearer {},", "Bearer {}.", "Bearer {}=", "Bearer x{}",
    'Bearer "{}"', "Bearer Bearer {}", "Basic {}", "Bearer:{}", "Bearer\t{}", "Bearer {}\t",
    "\tBearer {}", "Bearer {} \t ",
)
SIGNED = (
    ("GET", "/users/me"), ("GET", "/items"), ("HEAD", "/users/{user}"), ("DELETE", "/items/7777"),
    ("POST", "/items"), ("PATCH", "/users/{user}"), ("GET", "/healthz"), ("POST", "/tokens"),
)
NUMBERS = (
    "", "0", "1", "2", "99", "100", "101", "-1", "-0", "+1", "01", "1.0", "1e1", "1_0", "0x1", "x",
    "%31", "%201", "1%20", "+", "%D9%A1", "%EF%BC%91", "1%00", "1%0A", "true", "null", "1,2", "[1]",
    "999999999999999999", "1000000000000000000", "9" * 19, "9" * 400, "-" + "9" * 30, "18e2", "--1",
)
STATUSES = (
    "", "draft", "active", "archived", "Draft", "draft%20", "draft,active", "dr%61ft", "null",
)
TAGS = (
    "", "a", "b", "A", "-a", "a-", "a" * 30, "a" * 31, "a%2Db", "a+b", "a%0A", "%C3%A4", "a,b", "0",
    "a%00", "%61", "a_b", "a.b", "[]",
)
QUERIES = (
    "", "&", "&&", "=", "=&=", "?", "limit", "after", "status", "tag", "owner_id", "limit&limit=1",
    "limit=1&limit=2", "limit=x&limit=1", "limit=1&limit=x", "after=x&after=0", "limit=0&limit=",
    "status=x&status=draft", "status=draft&status=x", "tag=A&tag=a", "tag=a&tag=A",
    "owner_id=0&owner_id=1", "limit=1;after=0", "limit=1;", ";limit=0", "limit=1&after=0;tag=a",
    "Limit=0", "LIMIT=0", "limit[]=0", "limit%5B%5D=0", "%6Cimit=0", "l%69mit=1", "limit =1",
    "limit=1&x=y&after=0", "x=%26limit%3D0", "page=2&offset=3&format=xml", "limit=1#after=x",
    "limit=0&after=-1&status=x&tag=A&owner_id=0", "tag=A&status=x&owner_id=0&limit=0&after=-1",
    "limit==1", "limit=1=", "&limit=1&", "a=%E2%98%83", "%E2%98%83=1", "+=+", "limit=1&&after=0",
    "limit=2&status=draft&tag=a&owner_id=1", "after=0&limit=1&tag=a", "tag=a&after=0&status=draft",
    "limit=%31%30", "limit=1%26after=x", "status=draft&limit=1", "owner_id=999999999999999999",
)
ITEM = '{"name":"Lamp","price_cents":1999}'
MEDIA = (
    "application/json", "APPLICATION/JSON", "Application/Json; charset=utf-8", "application/json;",
    "application/json;charset=utf-16", "application/json ; a=b", ' application/json;q="x;y"',
    "application/merge-patch+json", "Application/Merge-Patch+JSON;x=y",
    "application/json-patch+json", "text/json", "text/plain", "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x", "", ";", "application/json, text/plain",
    "application/json,application/json", "json", "*/*", "application/*", "application/problem+json",
    "application/jsonx", "application/json x", "é/json", "application/vnd.api+json",
    "application/json;;", "application /json", "application/json\t", "\tapplication/json",
)
TEXTS: tuple[str | bytes, ...] = (
    "", " ", "\n", "null", "true", "0", '""', "[]", "{}", "{", "}", "[", "]", "{]", '"', "'a'",
    b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b"{\x00}\x00", b"\x00", b"\xff", b'{"name":"\xff"}',
    b'{"name":"\xc0\x80"}', b'{"name":"\xed\xa0\x80"}', b'{"name":"\xf4\x90\x80\x80"}', b"{}\x00",
    f"\ufeff{ITEM}", f" \t\r\n{ITEM}\r\n\t ", f"\x0b{ITEM}", f"\xa0{ITEM}", f"{ITEM}x",
    f"{ITEM}{ITEM}", '{"a":1,}', '{"a":1 "b":2}', "{a:1}", "{'a':1}", '{"a":01}', '{"a":+1}',
    '{"a":.5}', '{"a":1.}', '{"a":1e}', '{"a":1e+}', '{"a":-}', '{"a":--1}', '{"a":0x1}',
    '{"a":1_0}', '{"a":NaN}', '{"a":-NaN}', '{"a":Infinity}', '{"a":-Infinity}', '{"a":1e400}',
    '{"a":-1e400}', '{"a":1e308}', '{"a":1e-400}', '{"a":1.8e308}', '{"a":1.7976931348623157e308}',
    '{"a":1.7976931348623159e308}', '{"a":2e308}', '{"a":"\\ud800"}', '{"\\udfff":1}',
    '{"a":"\\ud83d\\ude00"}', '{"a":"\\ude00\\ud83d"}', '{"a":"\\u00"}', '{"a":"\\x41"}',
    '{"a":"\t"}', '{"a":"\n"}', '{"a":"\x7f"}', '{"a":"\\/"}', '{"a":"\\\'"}', '{"a":tru}',
    '{"a":True}', '{"a":None}', '{"a":undefined}', "{} // x", "/* x */ {}", "# x\n{}", '{"a":1}}',
    "[1,]", "[,1]", '{"a"}', '{"a":}', '{:1}', '{1:2}', '{"a":1;"b":2}', '{"a":1,,"b":2}',
    '{"a":[1,2}', "-", "-0", '{"a":%s}' % ("9" * 4300), '{"a":-%s}' % ("9" * 4300),
    '{"a":%s}' % ("9" * 4301), '{"a":%s.0}' % ("9" * 400), '{"a":%se0}' % ("9" * 400), "9" * 4301,
    "[" * 200 + "]" * 200, '{"a":' * 199 + "1" + "}" * 199, '{"a":{"b":{"c":[{"d":null}]}}}',
    '{"a":"\\u0000"}', '{"\\u0000":1}', '{"name":1e400,"name":"Lamp","price_cents":1}',
    '{"name":"\\ud800","name":"Lamp","price_cents":1}', '{"name":1,"name":"Lamp","price_cents":1}',
    '{"name":"Lamp","name":1,"price_cents":1}', '{"x":1,"x":2,"name":"Lamp","price_cents":1}',
    '{"name":"Lamp","price_cents":1,"price_cents":"1"}', '{"\\u006eame":"Lamp","price_cents":1}',
    '{"name":"Lamp","price_cents":1,"":1}', '{"":""}', '{"a/b":1,"a~b":2,"~1":3,"/":4}',
    '{"é":1,"z":2,"☃":3,"😀":4,"Z":5}', '{"name":{"x":1},"price_cents":[1]}', '{"__proto__":1}',
    '{"__class__":1,"constructor":2}', '{"self":1,"cls":2,"context":3}', '{"model_config":1}',
)
NAMES: tuple[object, ...] = (
    None, 1, True, [], {}, "", " ", "a", "a" * 200, "a" * 201, "é" * 200, "e\u0301", "\u00e9",
    "😀" * 200, "😀" * 201, "\u0000", "\u001f", "\u007f", "\u0080", "\u009f", "\u2028", "\ufeff",
    "\ufffe", "\U0010ffff", "a\n", "\ta", " a ", "\u00a0", "a\u200b", "İ", "ß", "<b>", "'; --",
    "%s", "{}", "\\", '"', "NULL",
)
DESCRIPTIONS: tuple[object, ...] = (
    None, "", " ", 1, [], {}, False, "a\nb\tc\r", "\u0000", "a\u0000b", "a" * 2000, "a" * 2001,
    "\u0001", "😀" * 2000, "😀" * 2001, "\u007f", "\ufffd", "e\u0301" * 1000,
)
PRICES = (
    "0", "-0", "-1", "1", "100000000", "100000001", "1.0", "1.5", "1e2", "1E2", "1e-2", "100e-2",
    "1e8", "1.0e8", "1e9", "10e7", "0.0", "-0.0", "-0e0", "0e400", "1e400", "99999999.99999999999",
    "1e-400", "100000000.0", "100000000.00000001", "100000001.0", '"1"', "true", "false", "null",
    "[]", "{}", '""', "0.1e1", "1.00000000000000000001", "1000000000000000000000000",
    "-9223372036854775809", "1.5e1", "9007199254740993", "9007199254740993.0", "-1.0", "-0.5",
    "4.9e-324", "123456789012345678901.0",
)
STATES: tuple[object, ...] = (
    "draft", "active", "archived", "Draft", "draft ", "", None, 0, [], ["draft"], {"a": 1},
)
TAG_LISTS: tuple[object, ...] = (
    [], ["a"], ["b", "a"], ["a", "a"], ["A"], [""], ["a", "A"], ["a", "a", "A"], [1], [None],
    [["a"]], None, "a", {}, {"a": 1}, 0, ["a" * 30], ["a" * 31], ["-a"], ["a-"], ["a--b"], ["0"],
    ["é"], ["a\n"], ["a_b"], ["a b"], [" a"], [f"t{n}" for n in range(10)],
    [f"t{n}" for n in range(11)], ["a"] * 11, ["a"] * 10, ["z", "a0", "a-0", "a", "0", "-"],
    ["b-a", "b", "ba", "b0"], [True], [1, 1], ["a", 1], [{}, "A", "", "a" * 31], ["10", "9", "1"],
)
PERSON_NAMES: tuple[object, ...] = (
    None, 1, "", " ", "a" * 100, "a" * 101, "😀" * 100, "😀" * 101, "\u0000", "\u001f", "\u007f",
    "\u0080", "a\n", " a ", "İ", "e\u0301", "\u00e9", "\u2028", True, [], {},
)
ADDRESSES: tuple[object, ...] = (
    None, 1, "", "a", "a@b", "a@b.", "@b.test", "a@.test", "a@b..test", "a b@c.test", "a@b.test\n",
    " a@b.test", "a@b.test ", "é@b.test", "a@é.test", "a@b.tést", "a@b_c.test", "a@@b.test",
    "a@b@c.test", "a\u0000@b.test", f"{'a' * 65}@b.test", f"a@{'b' * 64}.test", "a@b.test.",
    '"a"@b.test', "a@[1.2.3.4]", "a@b.test\u212a", f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 60}",
    f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 62}", "İ@b.test", "\u212a@b.test", "a@b.test\u0000",
    "<a@b.test>", "a,b@c.test", "a'b@c.test", [], {}, True,
)
PASSWORDS: tuple[object, ...] = (
    None, 1, "", "a" * 7, "a" * 129, "😀" * 7, "😀" * 129, "a\u0000aaaaaaa", [], {}, True,
)
TAGS_LISTED = (
    '"{v}"', 'W/"{v}"', "*", '"0"', "", " ", ",", ",,", "{v}", '"{v}","{v}"', '"0", "{v}"',
    '"0","{v}"', '"0" , W/"{v}"', '*, "{v}"', '"{v}", *', "**", "* *", '"*"', 'w/"{v}"', 'W/ "{v}"',
    'W"{v}"', "x", '"a b", "{v}"', '"a,b", "{v}"', '"a\\", "{v}"', '"é", "{v}"', 'x, "{v}"',
    '"{v}" x', 'x"{v}"', '"{v}";q=1', '"0{v}"', '" {v}"', '"{v} "', "'{v}'", 'W/"0", W/"{v}"',
    '"{v}"\t,\t"0"', ',"{v}",', '"", "{v}"', "W/*", '"{v}""0"', '"0" "{v}"', '"0";"{v}"', "0, {v}",
    '"{v}"\t', '\t"{v}" \t', '*\t', 'W/"{v}", "{v}"', '"\x7f","{v}"', '"<{v}>"',
)
REQUEST_IDS = (
    "a", "a" * 64, "a" * 65, "", " ", "a b", "a.b_c-D9", "é", "a,b", "a;b", "a\tb", '"a"',
    "a\t", "\ta", " a \t ", "../../x", "-", ".", "00000000-0000-4000-8000-000000000000", "%41",
    "a/b", "{a}", "\x7f", "a" * 300,
)
IGNORED: tuple[Field, ...] = (

    *(("Accept", v) for v in ("text/html", "application/xml;q=1", "", "*/*;q=0", "x", "text/*,,")),
    *(("Accept-Encoding", value) for value in ("gzip", "br, zstd", "identity;q=0", "*;q=0")),
    ("Accept-Language", "de"), ("Accept-Charset", "utf-16"), ("X-HTTP-Method-Override", "DELETE"),
    ("X-Method-Override", "PUT"), ("X-HTTP-Method", "PATCH"), ("Cookie", "session=1; a"),
    ("Cookie", "é"), ("X-Forwarded-Host", "evil.test"), ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Prefix", "/api"), ("X-Forwarded-For", "1.2.3.4"), ("Forwarded", "host=evil.test"),
    ("X-Real-IP", "x"), ("X-Script-Name", "/x"), ("Origin", "http://a.test"), ("Referer", "x"),
    ("User-Agent", ""), ("TE", "trailers"), ("Range", "bytes=0-0"), ("Cache-Control", "no-cache"),
    ("Pragma", "no-cache"), ("Upgrade-Insecure-Requests", "1"), ("DNT", "1"),
    ("X-Requested-With", "XMLHttpRequest"), ("Content-Length", "0"), ("Prefer", "return=minimal"),
    ("Via", "1.1 x"), ("Max-Forwards", "0"), ("X-CSRFToken", "x"), ("Sec-Fetch-Site", "cross-site"),
    ("Content-Language", "de"),
)
COMMANDS = (
    '{"type":"ping"}', ' {"type" : "ping"} ', '{"type":"pong"}', '{"type":"ping","id":1}',
    '{"type":"Ping"}', "ping", "", " ", "{", "[]", "null", "1", '"ping"', "{}", '{"type":null}',
    '{"type":["ping"]}', '{"type":1}', '{"a":1e400}', '{"type":"subscribe"}',
    '{"type":"subscribe","topics":[]}', '{"type":"subscribe","topics":null}', "NaN", "'a'",
    '{"type":"subscribe","topics":"items"}', '{"type":"subscribe","topics":["Items"]}',
    '{"type":"subscribe","topics":[1]}', '{"type":"subscribe","topics":["items","items"]}',
    '{"type":"subscribe","topics":["items","x"]}', '{"type":"\\ud800"}',
    '{"type":"subscribe","topics":["items"],"after":1}',
    '{"type":"subscribe","topics":{"items":1}}', '\ufeff{"type":"ping"}',
    '{"type":"ping","type":"pong"}', '{"type":"pong","type":"ping"}', '{"\\u0074ype":"ping"}',
    '{"type":"unsubscribe"}', '{"type":"ping"}{"type":"ping"}', '{"type":"ping",}',
    '{"type":"subscribe","topics":["users","items","users"]}',
    '{"type":"subscribe","topics":[["items"]]}', '{"type":"subscribe","topics":["items",null]}',
    "\u0000", "☃" * 100, '{"type":"subscribe","topics":["users","items"]}',
    '{"type":"subscribe","topics":["items","users"]}', "[" * 200,
    '{"type":"subscribe","topics":["users"]}', '{"type":"subscribe","topics":["items"]}',
    '{"type":"ping"}\n', "[" * 200 + "]" * 200,
)
