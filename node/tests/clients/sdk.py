"""Every operation of the API, by the official SDK: `python sdk.py URL TOKEN NAMESPACE OPENAPI`.

What is asserted is what a user of the SDK sees: values, models, pages, exceptions with their codes.
"""

import re
import sys
import time

import cloudflare
import httpx
import yaml
from cloudflare import Cloudflare

URL, TOKEN, CONFIGURED, OPENAPI = sys.argv[1:]
ACCOUNT = "0123456789abcdef0123456789abcdef"
# What clients and servers get wrong: separators, escapes, dots, what looks escaped already, other alphabets.
KEYS = ["a/b", "with space", "ключ-鍵-🔑", "100%", "a%2Fb", "a+b", "a..b", "../up", "x?y#z&q=1", "é:!*'()", "nul\0"]
BYTES = bytes(range(256)) + b"\0\xff\xfe\r\n--boundary"

requests = []
http = httpx.Client(event_hooks={"request": [lambda sent: requests.append((sent.method, sent.url.raw_path.decode()))]})
client = Cloudflare(api_token=TOKEN, base_url=URL, max_retries=0, http_client=http)
namespaces = client.kv.namespaces
at = {"account_id": ACCOUNT}


def refused(kind, code, call, *args, **kwargs):
    """The call raises this exception of the SDK, with one error of this code."""
    try:
        call(*args, **kwargs)
    except kind as error:
        assert type(error) is kind, error
        assert [one.code for one in error.errors] == [code], error
    else:
        raise AssertionError(f"{call} was not refused")


def of_namespaces():
    made = namespaces.create(**at, title="from the SDK", jurisdiction="eu")
    assert (made.title, made.supports_url_encoding, len(made.id)) == ("from the SDK", True, 32), made
    assert namespaces.get(made.id, **at) == made
    refused(cloudflare.BadRequestError, 10014, namespaces.create, **at, title="from the SDK")
    refused(cloudflare.BadRequestError, 10019, namespaces.create, **at, title="")
    renamed = namespaces.update(made.id, **at, title="renamed")
    assert (renamed.id, renamed.title) == (made.id, "renamed"), renamed
    others = [namespaces.create(**at, title=f"other {number}").id for number in range(5)]
    # The SDK asks for pages until one is empty.
    listed = [(one.id, one.title) for one in namespaces.list(**at, per_page=2, order="title", direction="asc")]
    titles = ["dev", *(f"other {number}" for number in range(5)), "renamed"]
    assert listed == list(zip([CONFIGURED, *others, made.id], titles)), listed
    for one in others:
        assert namespaces.delete(one, **at) is None
    refused(cloudflare.NotFoundError, 10013, namespaces.get, others[0], **at)
    refused(cloudflare.BadRequestError, 10011, namespaces.get, "short", **at)
    refused(cloudflare.PermissionDeniedError, 10037, namespaces.delete, CONFIGURED, **at)
    return made.id


def of_values(ns):
    values, metadata = namespaces.values, namespaces.metadata
    where = {**at, "namespace_id": ns}
    for number, key in enumerate(KEYS):
        put = BYTES + key.encode()
        said = {"about": key, "number": number}
        assert values.update(key, **where, value=put, metadata=said) is None
        assert values.get(key, **where).read() == put, key
        assert metadata.get(key, **where) == said, key
    assert [one.name for one in namespaces.keys.list(ns, **at)] == sorted(KEYS, key=str.encode)

    values.update("plain", **where, value=b"")
    assert values.get("plain", **where).read() == b""
    assert metadata.get("plain", **where) is None
    large = bytes(25 << 20)
    values.update("large", **where, value=large)
    assert values.get("large", **where).read() == large
    refused(cloudflare.APIStatusError, 10022, values.update, "large", **where, value=large + b"!")

    ends = int(time.time()) + 3600
    values.update("ends", **where, value=b"v", expiration=ends)
    assert values.with_raw_response.get("ends", **where).headers["expiration"] == str(ends)
    values.update("ends", **where, value=b"v", expiration=1, expiration_ttl=600)
    (listed,) = namespaces.keys.list(ns, **at, prefix="ends")
    assert abs(listed.expiration - time.time() - 600) < 60, listed
    refused(cloudflare.BadRequestError, 10034, values.update, "ends", **where, value=b"v", expiration_ttl=59)
    refused(cloudflare.BadRequestError, 10033, values.update, "ends", **where, value=b"v", expiration=1)

    for key in [*KEYS, "plain", "large", "ends", "never was"]:
        assert values.delete(key, **where) is None
        refused(cloudflare.NotFoundError, 10009, values.get, key, **where)
    refused(cloudflare.NotFoundError, 10009, metadata.get, "plain", **where)
    refused(cloudflare.APIStatusError, 10030, values.get, "k" * 513, **where)
    gone = {**at, "namespace_id": "f" * 32}
    refused(cloudflare.NotFoundError, 10013, values.update, "k", **gone, value=b"v")
    assert list(namespaces.keys.list(ns, **at)) == []


def of_many(ns):
    keys = [f"p/{number:03} +%é" for number in range(150)]
    items = [{"key": key, "value": f"v{number}", "metadata": {"n": number}} for number, key in enumerate(keys)]
    items += [{"key": "bytes", "value": "AP8=", "base64": True}, {"key": "json", "value": '{"n":[1]}', "expiration_ttl": 600}]
    done = namespaces.bulk_update(ns, **at, body=items)
    assert (done.successful_key_count, done.unsuccessful_keys) == (152, []), done
    assert namespaces.values.get("bytes", **at, namespace_id=ns).read() == b"\0\xff"

    before = len(requests)
    pages = namespaces.keys.list(ns, **at, prefix="p/", limit=40)
    assert [(one.name, one.metadata) for one in pages] == [(key, {"n": n}) for n, key in enumerate(keys)]
    assert len(requests) - before == 4, "150 keys on pages of 40"

    got = namespaces.bulk_get(ns, **at, keys=[keys[7], "none"])
    assert got.values == {keys[7]: "v7", "none": None}, got
    got = namespaces.bulk_get(ns, **at, keys=["json"], type="json")
    assert got.values == {"json": {"n": [1]}}, got
    got = namespaces.bulk_get(ns, **at, keys=[keys[7], "json", "none"], with_metadata=True)
    assert (got.values[keys[7]].value, got.values[keys[7]].metadata) == ("v7", {"n": 7}), got
    assert abs(got.values["json"].expiration - time.time() - 600) < 60, got
    assert got.values["none"] is None, got
    refused(cloudflare.BadRequestError, 10029, namespaces.bulk_get, ns, **at, keys=[])
    refused(cloudflare.BadRequestError, 10012, namespaces.bulk_get, ns, **at, keys=keys[:101])
    refused(cloudflare.BadRequestError, 10012, namespaces.bulk_get, ns, **at, keys=["bytes"])
    refused(cloudflare.BadRequestError, 10034, namespaces.bulk_update, ns, **at,
            body=[{"key": "good", "value": "v"}, {"key": "bad", "value": "v", "expiration_ttl": 1}])

    done = namespaces.bulk_delete(ns, **at, body=keys[:100] + ["none"])
    assert (done.successful_key_count, done.unsuccessful_keys) == (101, []), done
    # The SDK has no method for the older way, which other clients still go.
    path = f"/accounts/{ACCOUNT}/storage/kv/namespaces/{ns}/bulk"
    done = client.delete(path, cast_to=object, body=keys[100:])
    assert done["result"] == {"successful_key_count": 50, "unsuccessful_keys": []}, done
    assert [one.name for one in namespaces.keys.list(ns, **at)] == ["bytes", "json"]


def of_tokens():
    for wrong in [{"api_token": "guess"}, {"api_key": "guess", "api_email": "someone@example.com"}]:
        stranger = Cloudflare(**wrong, base_url=URL, max_retries=0)
        refused(cloudflare.AuthenticationError, 10000, stranger.kv.namespaces.get, CONFIGURED, **at)
    older = Cloudflare(api_key=TOKEN, api_email="someone@example.com", base_url=URL, max_retries=0)
    assert older.kv.namespaces.get(CONFIGURED, **at).title == "dev"


ns = of_namespaces()
of_values(ns)
of_many(ns)
of_tokens()
assert namespaces.delete(ns, **at) is None
refused(cloudflare.NotFoundError, 10013, namespaces.values.get, "json", **at, namespace_id=ns)

with open(OPENAPI, encoding="utf-8") as file:
    described = yaml.safe_load(file)["paths"]
base = httpx.URL(URL).raw_path.decode()
done = set()
for path, operations in described.items():
    form = re.compile(base + re.sub(r"\{\w+\}", "[^/?]+", path) + r"(\?.*)?")
    for method in operations.keys() - {"parameters"}:
        if any(sent == method.upper() and form.fullmatch(to) for sent, to in requests):
            done.add(operations[method]["operationId"])
missing = {operations[method]["operationId"] for operations in described.values()
           for method in operations.keys() - {"parameters"}} - done
assert not missing, f"nothing asked for {missing}"
print(f"cloudflare {cloudflare.__version__}: {len(requests)} requests, {len(done)} operations")
