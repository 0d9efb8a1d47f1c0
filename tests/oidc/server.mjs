// A real OAuth server for tests: npm's oidc-provider with PKCE, rotated refresh tokens, detection of their second use, and `iss` in its answers.
//
// Started as `node server.mjs '{"accessSeconds": 3600, "port": 0, "clients": [...]}'`; says its origin in one line of JSON, and ends when its input ends.
// What a test may change while it runs is under /_test; a small API that wants its access tokens is under /api.
import { createServer } from "node:http";
import { setTimeout as wait } from "node:timers/promises";

import Provider, { errors } from "oidc-provider";

const settings = {
  port: 0,
  accessSeconds: 3600,
  refreshSeconds: 14 * 24 * 3600,
  rotates: true,
  tokenDelayBeforeMs: 0, // before a token request is looked at
  tokenDelayAfterMs: 0, // after it was carried out, before its answer goes out
  faults: [], // what becomes of the next token requests: "unavailable", "drop_before", "drop_after" or "none", one each
  metadata: {}, // what discovery says otherwise; null takes a key out
  iss: undefined, // what stands for `iss` in answers of the sign-in; null for none
  clients: [],
  ...JSON.parse(process.argv[2] ?? "{}"),
};
const asked = []; // every token request, in order
const notes = [];

const server = createServer();
server.keepAliveTimeout = 75_000; // the client ends idle connections: on a busy machine both would do it at the same moment
await new Promise((resolve) => server.listen(settings.port, "127.0.0.1", resolve));
const origin = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(origin, {
  clients: settings.clients,
  clientAuthMethods: ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"],
  scopes: ["openid", "offline_access", "notes.read", "notes.write"],
  features: { clientCredentials: { enabled: true }, devInteractions: { enabled: true }, revocation: { enabled: true } },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  issueRefreshToken: (_ctx, client) => client.grantTypeAllowed("refresh_token"),
  pkce: { required: () => true },
  rotateRefreshToken: () => settings.rotates,
  ttl: {
    AccessToken: () => settings.accessSeconds,
    ClientCredentials: () => settings.accessSeconds,
    RefreshToken: () => settings.refreshSeconds,
    AuthorizationCode: 60,
    Grant: 14 * 24 * 3600,
    IdToken: 3600,
    Interaction: 3600,
    Session: 14 * 24 * 3600,
  },
  cookies: { keys: ["only for tests"] },
  jwks: undefined,
});

provider.use(async (ctx, next) => {
  if (ctx.path !== "/token" || ctx.method !== "POST") return next();
  const entry = { at: Date.now(), grant: null, client: null, status: null, error: null };
  asked.push(entry);
  const fault = settings.faults.shift() ?? "none";
  await wait(settings.tokenDelayBeforeMs);
  if (fault === "unavailable") {
    ctx.status = entry.status = 503;
    ctx.body = { error: "temporarily_unavailable" };
    return;
  }
  if (fault === "drop_before") return hangUp(ctx);
  await next();
  entry.grant = ctx.oidc?.params?.grant_type ?? null;
  entry.client = ctx.oidc?.client?.clientId ?? null;
  entry.status = ctx.status;
  entry.error = ctx.body?.error ?? null;
  await wait(settings.tokenDelayAfterMs);
  if (fault === "drop_after") hangUp(ctx);
});

provider.use(async (ctx, next) => {
  await next();
  if (ctx.path.startsWith("/.well-known/") && ctx.body?.issuer) {
    for (const [key, value] of Object.entries(settings.metadata)) {
      if (value === null) delete ctx.body[key];
      else ctx.body[key] = value;
    }
  }
  const location = ctx.response.get("location");
  if (settings.iss !== undefined && location && /[?&]iss=/.test(location)) {
    const url = new URL(location);
    url.searchParams.delete("iss");
    if (settings.iss !== null) url.searchParams.set("iss", settings.iss);
    ctx.set("location", url.href);
  }
});

function hangUp(ctx) {
  ctx.respond = false;
  ctx.req.socket.destroy();
}

async function bodyOf(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return parts.length ? JSON.parse(Buffer.concat(parts).toString()) : {};
}

function say(response, status, body) {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

// Tokens as a sign-in would have led to, without one.
async function grantTokens({ client_id: clientId, account = "ada", scope = "openid notes.read" }) {
  const client = await provider.Client.find(clientId);
  const grant = new provider.Grant({ clientId, accountId: account });
  grant.addOIDCScope(scope);
  const grantId = await grant.save();
  const told = { client, accountId: account, grantId, scope, gty: "authorization_code" };
  const access = new provider.AccessToken(told);
  const refresh = new provider.RefreshToken(told);
  return { access_token: await access.save(), refresh_token: await refresh.save(), expires_in: access.expiration, grant_id: grantId };
}

async function control(request, response, path) {
  const body = await bodyOf(request);
  switch (`${request.method} ${path}`) {
    case "POST /_test/settings":
      return say(response, 200, Object.assign(settings, body));
    case "POST /_test/clients":
      await provider.Client.adapter.upsert(body.client_id, body);
      return say(response, 201, body);
    case "POST /_test/tokens":
      return say(response, 201, await grantTokens(body));
    case "POST /_test/revoke": {
      const grant = await provider.Grant.find(body.grant_id);
      await grant?.destroy();
      for (const model of ["AccessToken", "RefreshToken", "AuthorizationCode"]) await provider[model].revokeByGrantId(body.grant_id);
      return say(response, 200, {});
    }
    case "GET /_test/asked":
      return say(response, 200, asked);
    case "DELETE /_test/asked":
      asked.length = 0;
      return say(response, 200, []);
    default:
      return say(response, 404, { error: "no such door" });
  }
}

async function api(request, response, path) {
  const token = (request.headers.authorization ?? "").replace(/^Bearer /, "");
  const held = (await provider.AccessToken.find(token)) ?? (await provider.ClientCredentials.find(token));
  if (!held || held.isExpired) return say(response, 401, { error: "invalid_token" });
  const body = request.method === "POST" ? await bodyOf(request) : undefined;
  if (path === "/api/me") return say(response, 200, { name: held.accountId ?? held.clientId, client: held.clientId, scope: held.scope ?? "", grant: held.grantId });
  if (path === "/api/notes" && request.method === "GET") return say(response, 200, { notes });
  if (path === "/api/notes" && request.method === "POST") {
    const note = { id: notes.length + 1, ...body };
    notes.push(note);
    return say(response, 201, note);
  }
  return say(response, 404, { error: "not_found" });
}

const answer = provider.callback();
server.on("request", (request, response) => {
  const path = new URL(request.url, origin).pathname;
  const serve = path.startsWith("/_test/") ? control : path.startsWith("/api/") ? api : answer;
  Promise.resolve(serve(request, response, path)).catch((error) => {
    console.error(error);
    if (!response.headersSent) say(response, 500, { error: String(error instanceof errors.OIDCProviderError ? error.error_description : error) });
  });
});

process.stdin.resume().on("end", () => process.exit(0));
console.log(JSON.stringify({ origin }));
