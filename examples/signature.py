"""Whether a call bears a signature of Wholly: RFC 9421 with HMAC-SHA256, over all that it says."""
import hashlib
import hmac
import re
import time
from base64 import b64encode

COVERED = ("@method", "@path", "content-digest", "wholly-transaction", "wholly-branch",
           "wholly-operation", "wholly-expires", "idempotency-key")
INPUT = re.compile(
    r'wholly=((\([^)]*\));created=([0-9]{1,12});keyid="([^"]*)";alg="hmac-sha256")')
TOLERANCE_SECONDS = 300


def is_signed(method, path, headers, body, keys):
    """`keys` has the secrets by the keys' ids: two of them while one is replaced."""
    said = INPUT.fullmatch(headers.get("signature-input", ""))
    if not said or said[4] not in keys or abs(time.time() - int(said[3])) > TOLERANCE_SECONDS:
        return False
    digest = "sha-256=:" + b64encode(hashlib.sha256(body).digest()).decode() + ":"
    values = {name: headers[name] for name in COVERED if name in headers}
    values |= {"@method": method, "@path": path, "content-digest": digest}
    # All of them, in this order, and Wholly-Expires exactly where the call has it.
    names = [name for name in COVERED if name in values]
    if said[2] != "(" + " ".join(f'"{name}"' for name in names) + ")":
        return False
    lines = [f'"{name}": {values[name]}' for name in names]
    base = "\n".join([*lines, f'"@signature-params": {said[1]}'])
    right = b64encode(hmac.digest(keys[said[4]].encode(), base.encode(), "sha256")).decode()
    given = headers.get("signature", "").encode()
    return (headers.get("content-digest") == digest
            and hmac.compare_digest(f"wholly=:{right}:".encode(), given))
