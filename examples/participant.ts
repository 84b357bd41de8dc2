/* A payment service that takes part in transactions of Wholly, in two-phase commit and in sagas:
   `npm ci && npx tsx participant.ts 8081 payments.db` (WHOLLY_KEYS="2026=SECRET" demands signed
   calls). A call is one database transaction with two parts: the business, and the barrier's row,
   by which calls that come twice, late or out of order do no harm.
   See docs/participant-contract.md. */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import Database from "libsql"; // or "better-sqlite3", whose API is the same
import { isSigned } from "./signature";

const [port, file] = process.argv.slice(2);
const keys = new Map((process.env.WHOLLY_KEYS ?? "").split(" ").filter(Boolean)
  .map((key): [string, string] => [key.split("=")[0], key.slice(key.indexOf("=") + 1)]));
const db = new Database(file);
db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS account (name TEXT PRIMARY KEY, cents INTEGER, held INTEGER);
INSERT OR IGNORE INTO account VALUES ('alice', 10000, 0);
CREATE TABLE IF NOT EXISTS wholly_branch (transaction_id TEXT, branch TEXT, state TEXT NOT NULL,
  data TEXT, changed_at INTEGER NOT NULL, PRIMARY KEY (transaction_id, branch));`);
const find = db.prepare("SELECT * FROM wholly_branch WHERE transaction_id = ? AND branch = ?");
const save = db.prepare("INSERT OR REPLACE INTO wholly_branch VALUES (?, ?, ?, ?, ?)");

type Table<T> = Record<string, T | undefined>;
// What begins a branch: the business, the row if it is done, the row if it is refused.
const BEGIN: Table<[string, string, string]> = {
  prepare: ["held = held + :cents", "prepared", "refused"],
  pay: ["cents = cents - :cents", "done", "action-refused"] };
// What ends one that was begun, and what wins where it comes first, with nothing to take back.
const END: Table<[string, string]> = {
  "prepared commit": ["held = held - :cents, cents = cents - :cents", "committed"],
  "prepared abort": ["held = held - :cents", "aborted"],
  "done refund": ["cents = cents + :cents", "compensated"] };
const EMPTY: Table<string> = { abort: "aborted", refund: "compensated" };
// What the row then answers. Anything else is 500: unknown, so asked again, or a person looks.
const OVER = { prepare: 409, commit: 410, abort: 200 }, BACK = { pay: 409, refund: 200 };
const SAYS: Table<Table<number>> = {
  prepared: { prepare: 200 }, committed: { prepare: 200, commit: 200, abort: 410 },
  aborted: OVER, refused: OVER, done: { pay: 200 }, "action-refused": BACK, compensated: BACK };
const WORDS: Table<string> = { 409: "refused", 410: "heuristic" };
class Refused extends Error {}

function business(sql: string, order: any): string { // Gives the row's data: the output of `pay`.
  const { account, cents } = Object(order);
  if (typeof account !== "string" || !Number.isSafeInteger(cents) || cents < 0)
    throw new Refused("a payment needs an account and its cents");
  sql = `UPDATE account SET ${sql} WHERE name = :account RETURNING cents >= held AS enough`;
  const changed = db.prepare(sql).get({ account, cents }) as { enough: number } | undefined;
  if (!changed?.enough) throw new Refused("the account does not exist or has too little");
  return JSON.stringify({ account, cents });
}

/** The status and the body of the answer; all within one database transaction. */
function decide(branch: string[], operation: string, expires: number, payload: any) {
  const row = find.get(...branch) as { state: string, data: string | null } | undefined;
  const begin = row ? undefined : BEGIN[operation], end = END[`${row?.state} ${operation}`];
  let [state, data] = [row?.state, row?.data];
  if (begin) {
    db.exec("SAVEPOINT business");
    try {
      if (expires <= Date.now()) throw new Refused("it came after its time");
      [state, data] = [begin[1], business(begin[0], payload)];
    } catch (no) {
      if (!(no instanceof Refused)) throw no;
      db.exec("ROLLBACK TO business");
      [state, data] = [begin[2], no.message];
    }
  } else if (end) {
    business(end[0], JSON.parse(row!.data!));
    [state, data] = [end[1], null];
  } else if (!row && (operation !== "refund" || !("output" in payload))) {
    state = EMPTY[operation]; // With the output, the payment was made: its row was lost.
  }
  if (state !== row?.state) save.run(...branch, state, data ?? null, Date.now());
  const status = SAYS[state ?? ""]?.[operation] ?? 500;
  return [status, status === 409 || operation === "pay" ? data ?? "" : ""] as const;
}

async function take(request: IncomingMessage): Promise<readonly [number, string]> {
  const operation = request.url!.slice(1), head = request.headers, chunks: Buffer[] = [];
  if (!(Number(head["content-length"]) <= 132_096)) return [413, ""];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  if (keys.size && !isSigned("POST", request.url!, head, body, keys)) return [401, ""];
  if (!["prepare", "commit", "abort", "pay", "refund"].includes(operation)) return [404, ""];
  const branch = [String(head["wholly-transaction"]), String(head["wholly-branch"])];
  const expires = Number(head["wholly-expires"] ?? Infinity);
  const payload = JSON.parse(body.toString() || "null");
  if (!/^[0-9a-f]{32}-[0-9a-f]{16} [a-z0-9_-]{1,64}$/.test(branch.join(" "))
    || head["wholly-operation"] !== operation || Number.isNaN(expires)
    || operation === "refund" && !("input" in Object(payload))) return [400, ""];
  return db.transaction(decide).immediate(branch, operation, expires, payload);
}

const server = createServer(async (request, response) => {
  const [status, body] = await take(request).catch((why) =>
    [why instanceof SyntaxError ? 400 : 500, String(why)] as const);
  response.writeHead(status, WORDS[status] ? { "wholly-answer": WORDS[status] } : {}).end(body);
}).listen(Number(port), "127.0.0.1", () =>
  console.log(`payments listen on http://127.0.0.1:${(server.address() as AddressInfo).port}`));
