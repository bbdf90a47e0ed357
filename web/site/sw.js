// Makes the page work without a network: all its files are kept at the first visit and answered from
// there. `make web` writes VERSION, a hash of all files, and FILES above this line. A new version is
// fetched whole beside the old one, and takes over when no window shows the old one any more.
const CACHE = `fakeface-${VERSION}`;

self.addEventListener("install", (event) => {
  event.waitUntil(keep());
});
self.addEventListener("activate", (event) => {
  event.waitUntil(forget());
});
self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET") event.respondWith(answer(event.request));
});

async function keep() {
  const cache = await caches.open(CACHE);
  await cache.addAll(FILES.map((file) => new Request(file, { cache: "reload" })));
}

async function forget() {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith("fakeface-") && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
}

async function answer(request) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(request, { ignoreSearch: true });
  return kept ? isolate(kept) : fetch(request);
}

// With these headers browsers let the page use threads, which no static host need know how to send;
// and the worker keeps the page's policy.
function isolate(response) {
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Content-Security-Policy", POLICY);
  return new Response(response.body, { status: response.status, headers });
}
