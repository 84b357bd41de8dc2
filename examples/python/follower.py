"""A service that reacts to the events of another one and offers its own (outbox.py):
`python3 follower.py 8082 http://127.0.0.1:8081/feed follower.db`. It answers what `wholly
conformance events` asks. Its inbox and its place in the feed are tables of its own database, and
are written in the transaction that makes the change. See docs/events-contract.md."""
import http.client, json, re, sqlite3, sys, threading, time
from contextlib import closing
from urllib.parse import urlencode
from urllib.request import urlopen
from outbox import connect, create_tables, insert, now, publish, serve, wake

class Unreadable(Exception): pass
ME, FOLLOWED = "follower", "conformance"
PRINTABLE = "[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+"
STATUS = {"source": FOLLOWED, "position": 0, "head": 0, "error": None}
REACTIONS = {
    "ConformanceAsked": {"emits": "ConformanceAnswered", "refuses": "ConformanceRefused"},
    "ConformanceUndone": {"emits": "ConformanceTakenBack", "undoes": ["ConformanceAsked"]}}
DECLARATION = {"service": ME, "reactions": [{"name": on, "on": on, **reaction}
                                            for on, reaction in REACTIONS.items()]}

def business(db, reaction, data):  # Changes the service's own tables by `db`, unless it refuses.
    if not (isinstance(data, dict) and type(data.get("n")) is int):
        raise Unreadable("the data has no number n")
    refused = data["n"] < 0 and "refuses" in reaction
    return ("refused" if refused else "done"), reaction["refuses" if refused else "emits"], data

def react(db, event):
    """The contract's table. The transaction is IMMEDIATE, so it has locked every correlation."""
    name, correlation = event["type"], event["correlationid"]
    reaction, undoes = REACTIONS[name], REACTIONS[name].get("undoes", [])
    key = {"reaction": name, "source": event["source"], "id": event["id"]}
    for table in ("inbox", "parked"):  # It came before.
        if db.execute(f"SELECT 1 FROM wholly_{table} WHERE reaction = :reaction"
                      " AND source = :source AND id = :id", key).fetchone():
            return
    park = lambda state, error=None: insert(
        db, "parked", **key, correlation=correlation, event=json.dumps(event), state=state,
        tries=0, error=error, at=now())
    parked = db.execute("SELECT reaction, source, id, event FROM wholly_parked"
                        " WHERE correlation = ? ORDER BY sequence", (correlation,)).fetchall()
    if parked and parked[0][0] not in undoes:
        return park("waiting")  # The events of one correlation keep their order.
    if db.execute("SELECT 1 FROM wholly_effect WHERE correlation = ? AND reaction = ?",
                  (correlation, name)).fetchone():  # What undoes it came first.
        return insert(db, "inbox", **key, outcome="suppressed", at=now())
    try:
        outcome, emitted, data = business(db, reaction, event.get("data"))
    except Unreadable as why:
        return park("waiting" if parked else "unreadable", str(why))
    for undone in undoes:  # Whether it was done or not: it may still come.
        insert(db, "effect", correlation=correlation, reaction=undone, state="suppressed", at=now())
    publish(db, emitted, correlation, data, causation=event["id"],
            traceparent=event.get("traceparent"))
    insert(db, "inbox", **key, outcome=outcome, at=now())
    # What this one undoes was parked: it is out of the way, and those behind it have their turn.
    db.execute("DELETE FROM wholly_parked WHERE correlation = ?", (correlation,))
    for waiting in parked:
        react(db, json.loads(waiting[3]))

def event_of(item):
    """The event, or nothing: what is no CloudEvent must not stop those behind it."""
    event = {"correlationid": item.get("id"), **item} if isinstance(item, dict) else {}
    limits = {"id": 200, "source": 100, "type": 100, "correlationid": 200}
    fits = all(isinstance(text := event.get(name), str) and re.fullmatch(PRINTABLE, text)
               and len(text.encode()) <= limit for name, limit in limits.items())
    return event if fits and event.get("specversion") == "1.0" else None

def take(db, before, items, end):
    """Each item in one transaction with the place that it moves on: the place is never ahead of
    what is dealt with, and never goes back."""
    for item in items:
        event, stated = event_of(item), item.get("position") if isinstance(item, dict) else None
        position = int(stated) if re.fullmatch("[0-9]{1,18}", str(stated)) else before + 1
        if position <= before: continue  # A feed may repeat itself.
        db.execute("BEGIN IMMEDIATE")
        if event is None:
            insert(db, "set_aside", source=FOLLOWED, position=position, error="no event", at=now(),
                   body=json.dumps(item)[:65536])
        else:
            if event["type"] in REACTIONS:
                react(db, event)
            insert(db, "cursor", source=FOLLOWED, position=position, id=event["id"], at=now())
        db.execute("COMMIT")
        before = position
        wake()
    position, _, id = end.partition(".")
    if id and int(position) >= before:  # Behind what is no event, too.
        insert(db, "cursor", source=FOLLOWED, position=int(position), id=id, at=now())

def follow():
    while True:
        try:
            with closing(connect(FILE)) as db:
                position, id = db.execute("SELECT position, id FROM wholly_cursor WHERE source = ?",
                                          (FOLLOWED,)).fetchone() or (0, None)
                after = f"{position}.{id}" if id else "earliest"
                asked = urlencode({"after": after, "limit": 100, "wait_ms": 5000})
                with urlopen(f"{FEED}?{asked}", timeout=20) as page:
                    says, items = page.headers, json.loads(page.read(2**21))
                if says["Wholly-Feed-Source"] != FOLLOWED:
                    raise ValueError(f"this is the feed of {says['Wholly-Feed-Source']}")
                take(db, position, items, says["Wholly-Feed-Cursor"])
                STATUS.update(position=position, head=int(says["Wholly-Feed-Head"]), error=None)
        except (OSError, ValueError, http.client.HTTPException, sqlite3.Error) as why:
            # A cursor that is refused (410) is shown and asked for again, never another: whether
            # events were lost is for an operator to say, who sets the place with `UPDATE`.
            STATUS["error"] = f"{why} {why.read(999) if hasattr(why, 'read') else ''}"
            time.sleep(0.05)

def status(db):
    parked = db.execute("SELECT sequence, reaction, source, id, correlation, state, error"
                        " FROM wholly_parked ORDER BY sequence LIMIT 1000").fetchall()
    names = ("number", "reaction", "source", "id", "correlation", "state", "error")
    return {"service": ME, "feeds": [STATUS], "parked": [dict(zip(names, row)) for row in parked]}

PORT, FEED, FILE = int(sys.argv[1]), sys.argv[2], sys.argv[3]
create_tables(FILE, ME)
threading.Thread(target=follow, daemon=True).start()
serve(PORT, ME, FILE, {"/choreography": lambda db: DECLARATION, "/choreography/status": status})
