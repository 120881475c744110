// An identity provider for tests: oidc-provider with its own pages to sign in and consent.
//
//     node provider.mjs FOLDER PORT RETURN_URL
//
// FOLDER holds node_modules. The name that a person types is their subject, and their group is what follows a "+".
// POST /test/rotate makes a new key; with ?hidden=1 the key that is published stays the old one.
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, port, returnUrl] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(join(folder, 'node_modules/oidc-provider/lib/index.js')));
const issuer = `http://127.0.0.1:${port}`;
let number = 0;
let published = null;

function makeKey() {
  number += 1;
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: `key-${number}`, use: 'sig', alg: 'RS256' };
}

function makeProvider() {
  const client = (id, claims) => ({
    client_id: id,
    client_secret: `secret-of-${id}-0123456789`,
    redirect_uris: [returnUrl],
    ...claims,
  });
  return new Provider(issuer, {
    clients: [client('dockgate'), client('another')],
    jwks: { keys: [makeKey()] },
    cookies: { keys: ['only for tests'] },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['groups'] },
    scopes: ['openid', 'email', 'profile'],
    pkce: { required: () => true },
    async findAccount(ctx, id) {
      const [name, group] = id.split('+');
      const claims = { sub: id, email: `${name}@example.org`, email_verified: true, groups: group ? [group] : [] };
      return { accountId: id, claims: async () => claims };
    },
  });
}

let provider = makeProvider();
createServer((request, response) => {
  if (request.url.startsWith('/test/rotate')) {
    const isHidden = request.url.endsWith('hidden=1');
    fetch(`${issuer}/jwks`).then((answer) => answer.text()).then((text) => {
      published = isHidden ? text : null;
      provider = makeProvider();
      response.end('rotated');
    });
  } else if (request.url === '/jwks' && published) {
    response.setHeader('content-type', 'application/json');
    response.end(published);
  } else {
    provider.callback()(request, response);
  }
}).listen(Number(port), '127.0.0.1', () => console.log('ready'));
