// What a Worker sees of its binding. `workerd test` runs it; whatever is thrown fails it.

const show = (value) => JSON.stringify(value);

function is(found, expected, what) {
  if (show(found) !== show(expected)) throw new Error(`${what}: ${show(found)}, not ${show(expected)}`);
}

async function refused(call, expected) {
  const message = await call.then(() => "nothing", (error) => error.message);
  is(message, expected, "what is refused");
}

const KEY = "dir/my key:é%+..";
const METADATA = { m: [1, "é"] };

export default {
  async test(_, { KV }) {
    await KV.put(KEY, "v\0é", { metadata: METADATA, expirationTtl: 60 });
    is(await KV.get(KEY), "v\0é", "text");
    const whole = await KV.getWithMetadata(KEY, { cacheTtl: 30 });
    is(whole, { value: "v\0é", metadata: METADATA, cacheStatus: "HIT" }, "with metadata");
    const { keys, list_complete } = await KV.list({ prefix: "dir/" });
    const ahead = keys[0].expiration - Date.now() / 1000;
    is([keys.length, keys[0].name, keys[0].metadata, ahead > 50 && ahead <= 60, list_complete],
      [1, KEY, METADATA, true, true], "listed");

    const bytes = new Uint8Array(256).map((_, at) => at);
    await KV.put("bytes", bytes);
    is([...new Uint8Array(await KV.get("bytes", "arrayBuffer"))], [...bytes], "bytes");
    await KV.put("stream", new Response("streamed").body);
    is(await KV.get("stream"), "streamed", "a stream");
    await KV.put("json", '{"n":[1]}');
    is(await KV.get("json", "json"), { n: [1] }, "json");

    is(Object.fromEntries(await KV.get([KEY, "none"])), { [KEY]: "v\0é", none: null }, "many");
    is(Object.fromEntries(await KV.get(["json"], "json")), { json: { n: [1] } }, "many as json");
    const many = await KV.getWithMetadata([KEY, "none"]);
    is([many.get(KEY).value, many.get(KEY).metadata, many.get("none")?.value ?? null], ["v\0é", METADATA, null],
      "many with metadata");

    const first = await KV.list({ limit: 3 });
    const second = await KV.list({ limit: 3, cursor: first.cursor });
    is([first, second].map((page) => page.keys.map((key) => key.name)), [["bytes", KEY, "json"], ["stream"]], "pages");
    is([first.list_complete, second.list_complete], [false, true], "the last page");

    for (const key of [KEY, "bytes", "stream", "json", "never was"]) await KV.delete(key);
    is(await KV.get(KEY), null, "what was deleted");
    is((await KV.getWithMetadata(KEY)).value, null, "what was deleted, with metadata");
    is((await KV.list()).keys, [], "what is left");

    await refused(KV.put("k", "v", { expirationTtl: 30 }),
      "KV PUT failed: 400 Invalid expiration_ttl of 30. Expiration TTL must be at least 60.");
    await refused(KV.get("k", { cacheTtl: 10 }), "KV GET failed: 400 Invalid cache_ttl of 10. Cache TTL must be at least 30.");
  },
};
