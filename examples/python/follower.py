"""A service that reacts to another one's events and offers its own, as `wholly conformance events`
asks: `python3 follower.py 8082 http://127.0.0.1:8081/feed follower.db`. docs/events-contract.md has
the rules; calls, time-outs, retries, deletion and what it declares are left out."""
import json, re, sqlite3, sys, threading, time, uuid
from socketserver import ThreadingMixIn
from urllib import parse, request
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

PORT, FEED, FILE, ME, FOLLOWED = int(sys.argv[1]), *sys.argv[2:], "follower", "conformance"
REACTIONS = {  # By the type of the event, which is the reaction's name, too.
    "ConformanceAsked": {"emits": "ConformanceAnswered", "refuses": "ConformanceRefused"},
    "ConformanceUndone": {"emits": "ConformanceTakenBack", "undoes": ["ConformanceAsked"]}}
STATUS = {"source": FOLLOWED, "position": 0, "head": 0, "error": None}
TEXT = re.compile("[^\0-\x1f\x7f-\x9f\ud800-\udfff]{1,200}")

def connect():
    db = sqlite3.connect(FILE, isolation_level=None)  # Transactions begin and end where it is said.
    db.execute("PRAGMA synchronous = FULL")  # A commit that is lost is an event that is lost.
    return db
def select(db, sql, *values): return db.execute(f"SELECT {sql}", values).fetchall()
def insert(db, table, **row):
    row["time" if table == "outbox" else "at"] = int(time.time() * 1000)
    db.execute(f"INSERT OR REPLACE INTO wholly_{table} ({', '.join(row)})"
               f" VALUES ({', '.join('?' * len(row))})", tuple(row.values()))

def react(db, event):
    """The contract's table. The transaction is IMMEDIATE, so it has locked every correlation."""
    name, id, of, data = event["type"], event["id"], event["correlationid"], event.get("data")
    reaction, undoes = REACTIONS[name], REACTIONS[name].get("undoes", [])
    key = {"reaction": name, "source": event["source"], "id": id}
    if any(select(db, f"1 FROM wholly_{table} WHERE (reaction, source, id) = (?, ?, ?)",
                  *key.values()) for table in ("inbox", "parked")): return  # It came before.
    parked = select(db, "reaction, event FROM wholly_parked WHERE correlation = ?"
                    " ORDER BY sequence", of)
    late = select(db, "1 FROM wholly_effect WHERE (correlation, reaction) = (?, ?)", of, name)
    waits = parked and parked[0][0] not in undoes  # The events of a correlation keep their order.
    if waits or not (late or isinstance(data, dict) and type(data.get("n")) is int):
        return insert(db, "parked", **key, correlation=of, event=json.dumps(event), tries=0,
                      state="waiting" if waits else "unreadable")
    if late: return insert(db, "inbox", **key, outcome="suppressed")  # What undoes it came first.
    refuses = "refuses" in reaction and data["n"] < 0  # Or it changes its own tables, by `db`.
    insert(db, "inbox", **key, outcome="refused" if refuses else "done")
    insert(db, "outbox", id=uuid.uuid4().hex, correlation=of, causation=id, data=json.dumps(data),
           traceparent=event.get("traceparent"), type=reaction["refuses" if refuses else "emits"])
    for undone in undoes:  # Done or not: it may still come.
        insert(db, "effect", correlation=of, reaction=undone, state="suppressed")
    db.execute("DELETE FROM wholly_parked WHERE correlation = ?", (of,))
    for _, waiting in parked:  # The first is undone, and those behind it have their turn.
        react(db, json.loads(waiting))

def event_of(item):
    event = {"correlationid": item.get("id"), **item} if isinstance(item, dict) else {}
    texts = [event.get(name) for name in ("id", "source", "type", "correlationid")]
    is_event = all(isinstance(text, str) and TEXT.fullmatch(text) for text in texts)
    return event if is_event and event.get("specversion") == "1.0" else None
def read(db):
    last, id = (select(db, "position, id FROM wholly_cursor") or [(0, None)])[0]
    after = parse.quote(f"{last}.{id}" if id else "earliest")
    with request.urlopen(f"{FEED}?limit=100&wait_ms=5000&after={after}", timeout=20) as page:
        says, items = page.headers, json.loads(page.read(3 * 2**19))
    end, _, id = says.get("Wholly-Feed-Cursor", "").partition(".")
    if says["Wholly-Feed-Source"] != FOLLOWED or int(end) < last:
        raise ValueError(f"this is no page of {FOLLOWED} after {last}")
    db.execute("BEGIN IMMEDIATE")  # The inbox tells what a page repeats.
    for place, item in enumerate(items, int(end) - len(items) + 1):
        if (event := event_of(item)) is None:  # It must not stop those behind it.
            insert(db, "set_aside", source=FOLLOWED, position=place, body=json.dumps(item),
                   error="it is no CloudEvent")
        elif event["type"] in REACTIONS:
            react(db, event)
    insert(db, "cursor", source=FOLLOWED, position=int(end), id=id or None)
    STATUS.update(position=int(end), head=int(says["Wholly-Feed-Head"]), error=None)
def follow():
    while True:
        try:
            with connect() as db: read(db)  # Commits, or rolls back.
        except Exception as why:  # A place that is refused is asked for again, never another:
            STATUS["error"] = str(why)  # an operator says whether events were lost.
            time.sleep(0.05)

def feed(db, after="earliest", limit="1000", wait_ms="0"):
    last = lambda: select(db, "ifnull(max(position), 0), ifnull(id, '') FROM wholly_outbox")[0]
    position, _, id = {"earliest": "0", "now": "%s.%s" % last()}.get(after, after).partition(".")
    position, limit, wait_ms = int(position), int(limit), int(wait_ms) if after != "now" else 0
    if position > last()[0]: return "410 Gone", {"type": "urn:wholly:feed:cursor-ahead"}, {}
    if position and select(db, "id FROM wholly_outbox WHERE position = ?", position) != [(id,)]:
        return "410 Gone", {"type": "urn:wholly:feed:cursor-other-event"}, {}  # It was restored.
    give_up = time.monotonic() + min(wait_ms, 30_000) / 1000
    while last()[0] <= position and time.monotonic() < give_up: time.sleep(0.02)
    rows = select(db, """position, id, json_object('specversion', '1.0', 'source', source, 'id', id,
        'type', type, 'correlationid', correlation, 'causationid', causation, 'traceparent',
        traceparent, 'position', CAST(position AS TEXT), 'data', json(data), 'time',
        strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch')) FROM wholly_outbox, wholly_feed
        WHERE position > ? ORDER BY position LIMIT min(max(?, 0), 1000)""", position, limit)
    if rows: position, id, _ = rows[-1]
    return "200 OK", [json.loads(event) for _, _, event in rows], {
        "Wholly-Feed-Source": ME, "Wholly-Feed-Head": str(last()[0]), "Cache-Control": "no-store",
        "Wholly-Feed-Cursor": f"{position}.{id}" if id else "0", "Wholly-Feed-Retention": "604800"}
def status(db):
    names = ("reaction", "source", "id", "correlation", "state")
    parked = select(db, f"{', '.join(names)} FROM wholly_parked ORDER BY sequence LIMIT 1000")
    parked = [dict(zip(names, row)) for row in parked]
    return "200 OK", {"service": ME, "feeds": [STATUS], "parked": parked}, {}
def offer(asked, start):
    show = {"/feed": feed, "/choreography/status": status}.get(asked["PATH_INFO"])
    try:
        code, body, headers = show(connect(), **dict(parse.parse_qsl(asked["QUERY_STRING"])))
    except (TypeError, ValueError):
        code, body, headers = "400 Bad Request", {"type": "urn:wholly:feed:query"}, {}
    kind = "cloudevents-batch+" if headers else "problem+" if "type" in body else ""
    start(code, [("Content-Type", f"application/{kind}json"), *headers.items()])
    return [json.dumps(body).encode()]

class Server(ThreadingMixIn, WSGIServer): daemon_threads = True
class Quiet(WSGIRequestHandler): log_message = lambda *_: None
connect().executescript(open(f"{sys.path[0]}/schema.sql").read() + "INSERT OR IGNORE INTO"
                        f" wholly_feed (one, schema, source) VALUES (1, 1, '{ME}')")
threading.Thread(target=follow, daemon=True).start()
make_server("127.0.0.1", PORT, offer, Server, Quiet).serve_forever()
