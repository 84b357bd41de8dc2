"""A payment service that takes part in transactions of Wholly, in two-phase commit and in sagas:
`python3 participant.py 8081 payments.db` (WHOLLY_KEYS="2026=SECRET" demands signed calls). A call
is one database transaction with two parts: the business, and the barrier's row, by which calls
that come twice, late or out of order do no harm. See docs/participant-contract.md."""
import json, os, re, sqlite3, sys, time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from signature import is_signed

class Refused(Exception): pass
SCHEMA = """
CREATE TABLE IF NOT EXISTS account (name TEXT PRIMARY KEY, cents INTEGER, held INTEGER);
INSERT OR IGNORE INTO account VALUES ('alice', 10000, 0);
CREATE TABLE IF NOT EXISTS wholly_branch (transaction_id TEXT, branch TEXT, state TEXT NOT NULL,
    data TEXT, changed_at INTEGER NOT NULL, PRIMARY KEY (transaction_id, branch));"""
# What begins a branch: the business, the row if it is done, the row if it is refused.
BEGIN = {"prepare": ("held = held + :cents", "prepared", "refused"),
         "pay": ("cents = cents - :cents", "done", "action-refused")}
# What ends one that was begun, and what wins where it comes first, with nothing to take back.
END = {("prepared", "commit"): ("held = held - :cents, cents = cents - :cents", "committed"),
       ("prepared", "abort"): ("held = held - :cents", "aborted"),
       ("done", "refund"): ("cents = cents + :cents", "compensated")}
EMPTY = {"abort": "aborted", "refund": "compensated"}
# What the row then answers. Anything else is 500: unknown, so asked again, or a person looks.
OVER, BACK = {"prepare": 409, "commit": 410, "abort": 200}, {"pay": 409, "refund": 200}
SAYS = {"prepared": {"prepare": 200}, "committed": {"prepare": 200, "commit": 200, "abort": 410},
        "aborted": OVER, "refused": OVER,
        "done": {"pay": 200}, "action-refused": BACK, "compensated": BACK}

def business(db, sql, order):  # Gives the row's data, which is the output of `pay`, too.
    if not (isinstance(order, dict) and isinstance(order.get("account"), str)
            and type(order.get("cents")) is int and 0 <= order["cents"] < 2**53):
        raise Refused("a payment needs an account and its cents")
    sql = f"UPDATE account SET {sql} WHERE name = :account RETURNING cents >= held"
    if db.execute(sql, order).fetchall() != [(1,)]:
        raise Refused("the account does not exist or has too little")
    return json.dumps({"account": order["account"], "cents": order["cents"]})

def answer(db, branch, operation, expires, payload):
    """The status and the body of the answer; all within one database transaction."""
    sql = "SELECT state, data FROM wholly_branch WHERE transaction_id = ? AND branch = ?"
    before, data = db.execute(sql, branch).fetchone() or (None, None)
    state = before
    if state is None and operation in BEGIN:
        sql, done, refused = BEGIN[operation]
        db.execute("SAVEPOINT business")
        try:
            if expires <= time.time() * 1000:
                raise Refused("it came after its time")
            state, data = done, business(db, sql, payload)
        except Refused as no:
            db.execute("ROLLBACK TO business")
            state, data = refused, str(no)
    elif (state, operation) in END:
        sql, state, order, data = *END[state, operation], json.loads(data), None
        business(db, sql, order)
    elif state is None and (operation != "refund" or "output" not in payload):
        state = EMPTY.get(operation)  # With the output, the payment was made: its row was lost.
    if state != before:
        db.execute("INSERT OR REPLACE INTO wholly_branch VALUES (?, ?, ?, ?, ?)",
                   (*branch, state, data, int(time.time() * 1000)))
    status = SAYS.get(state, {}).get(operation, 500)
    return status, (data or "").encode() if status == 409 or operation == "pay" else b""

class Handler(BaseHTTPRequestHandler):
    wbufsize = -1  # Head and body leave together.
    def do_POST(self):
        head, operation = self.headers, self.path[1:]
        called = [head.get("wholly-" + n, "") for n in ("transaction", "branch", "operation")]
        body = self.rfile.read(max(0, min(int(head.get("content-length", 0)), 132_096)))
        if KEYS and not is_signed("POST", self.path, head, body, KEYS):
            return self.say(401)
        if operation not in ("prepare", "commit", "abort", "pay", "refund"):
            return self.say(404)
        try:
            payload, expires = json.loads(body or "null"), int(head.get("wholly-expires", 2**63))
        except ValueError:
            return self.say(400)
        form = "[0-9a-f]{32}-[0-9a-f]{16}/[a-z0-9_-]{1,64}/" + operation
        if (not re.fullmatch(form, "/".join(called)) or
                operation == "refund" and (type(payload) is not dict or "input" not in payload)):
            return self.say(400)
        with closing(sqlite3.connect(FILE, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            said = answer(db, called[:2], operation, expires, payload)
            db.execute("COMMIT")  # On disk before the answer leaves; if it fails, none leaves.
        self.say(*said)
    def say(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status in (409, 410):
            self.send_header("Wholly-Answer", "refused" if status == 409 else "heuristic")
        self.end_headers()
        self.wfile.write(body)
FILE, KEYS = sys.argv[2], dict(k.split("=", 1) for k in os.environ.get("WHOLLY_KEYS", "").split())
sqlite3.connect(FILE).executescript(SCHEMA)
server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print(f"payments listen on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
