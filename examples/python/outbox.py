"""The outbox of a service in SQLite, and its feed over HTTP. It knows nothing of who follows. The
tables are schema.sql, as `wholly events schema sqlite` prints it. See docs/events-contract.md."""
import json, re, sqlite3, threading, time, uuid
from contextlib import closing
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl

NEWS = threading.Condition()  # Told when an event was published.
RETENTION = 7 * 24 * 3600  # Seconds. Nothing is trimmed here, so no place is ever too old.
BATCH, PROBLEM = "application/cloudevents-batch+json", "application/problem+json"
PLACE = re.compile("0|([1-9][0-9]{0,17})[.]([!-~]{1,200})")  # A position and the id of its event.

def now(): return int(time.time() * 1000)

def connect(file):
    db = sqlite3.connect(file, isolation_level=None)  # Transactions begin and end where it is said.
    db.execute("PRAGMA synchronous = FULL")  # A commit that is lost is an event that is lost.
    return db

def create_tables(file, source):
    with closing(connect(file)) as db:
        db.executescript((Path(__file__).parent / "schema.sql").read_text())
        db.execute("INSERT OR IGNORE INTO wholly_feed (one, schema, source) VALUES (1, 1, ?)",
                   (source,))

def insert(db, table, **row):
    db.execute(f"INSERT OR REPLACE INTO wholly_{table} ({', '.join(row)})"
               f" VALUES ({', '.join('?' * len(row))})", tuple(row.values()))

def publish(db, type, correlation, data, **more):
    """Publishes an event with the caller's transaction. SQLite has one writer: the order of the
    positions is the order of the commits."""
    insert(db, "outbox", id=str(uuid.uuid4()), type=type, correlation=correlation, time=now(),
           data=json.dumps(data), **more)

def wake():
    """Tells who waits for an event that one was committed."""
    with NEWS: NEWS.notify_all()

def refusal(status, kind, detail):
    return status, PROBLEM, {}, {"type": f"urn:wholly:feed:{kind}", "title": kind,
                                 "status": status, "detail": detail}

def page(db, source, asked):
    """The status, the media type, the headers and the body of an answer."""
    first = lambda sql, *values: db.execute(sql, values).fetchone() or (0, None)
    head = lambda: first("SELECT position, id FROM wholly_outbox ORDER BY position DESC LIMIT 1")
    after, last = asked.get("after", "earliest"), head()
    words = {"earliest": "0", "now": "%s.%s" % last if last[0] else "0"}
    place = PLACE.fullmatch(words.get(after, after))
    numbers = [asked.get("limit", "1000"), asked.get("wait_ms", "0")]
    if not place or not all(re.fullmatch("[0-9]{1,18}", number) for number in numbers):
        return refusal(400, "query", "after is a place, limit and wait_ms are whole numbers")
    position, id, limit, wait_ms = int(place[1] or 0), place[2], *map(int, numbers)
    if position > last[0]:
        return refusal(410, "cursor-ahead", f"the last event is at {last[0]}: events may be lost")
    # The id tells this feed from an older copy of it, which gave the position to another event.
    if position and first("SELECT 0, id FROM wholly_outbox WHERE position = ?", position)[1] != id:
        return refusal(410, "cursor-other-event", f"another event is at {position}")
    if after != "now":
        with NEWS: NEWS.wait_for(lambda: head()[0] > position, min(wait_ms, 30_000) / 1000)
    rows = db.execute("SELECT position, id, type, correlation, causation, traceparent, time, data"
                      " FROM wholly_outbox WHERE position > ? ORDER BY position LIMIT ?",
                      (position, min(limit, 1000))).fetchall()
    names = ("position", "id", "type", "correlationid", "causationid", "traceparent")
    events = [{"specversion": "1.0", "source": source, "datacontenttype": "application/json",
               **{name: str(value) for name, value in zip(names, row) if value is not None},
               "time": datetime.fromtimestamp(row[6] / 1000, timezone.utc).isoformat(),
               "data": json.loads(row[7])} for row in rows]
    end = f"{rows[-1][0]}.{rows[-1][1]}" if rows else f"{position}.{id}" if position else "0"
    return 200, BATCH, {"Wholly-Feed-Source": source, "Wholly-Feed-Head": str(head()[0]),
                        "Wholly-Feed-Cursor": end, "Wholly-Feed-Retention": str(RETENTION)}, events

def serve(port, source, file, shown):
    """Serves the feed, and what else is shown, for ever."""
    class Handler(BaseHTTPRequestHandler):
        wbufsize = -1  # Head and body leave together.
        def do_GET(self):
            path, _, query = self.path.partition("?")
            with closing(connect(file)) as db:
                if path == "/feed": answer = page(db, source, dict(parse_qsl(query)))
                elif path in shown: answer = 200, "application/json", {}, shown[path](db)
                else: answer = refusal(404, "path", "there is nothing here")
            status, media_type, headers, body = *answer[:3], json.dumps(answer[3]).encode()
            self.send_response(status)
            headers |= {"Content-Type": media_type, "Content-Length": str(len(body))}
            for name, value in headers.items(): self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *_): pass
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print(f"{source} offers its events at http://127.0.0.1:{server.server_port}/feed", flush=True)
    server.serve_forever()
