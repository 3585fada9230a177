// An OpenID provider that somebody else wrote, for TestRealProvider. It is told how to
// reach Gatehouse, says where it listens, and signs by another key after POST /rotate.
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const [redirect, loggedOut, backChannel] = process.argv.slice(2);
const key = (kid) => ({ ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' });

const server = createServer();
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const issuer = `http://127.0.0.1:${server.address().port}`;

const start = (kid) => new Provider(issuer, {
  clients: [{
    client_id: 'gatehouse', client_secret: 's3cret/with+odd:signs & blanks%', redirect_uris: [redirect],
    post_logout_redirect_uris: [loggedOut], backchannel_logout_uri: backChannel, backchannel_logout_session_required: true,
  }],
  cookies: { keys: ['tests only'] },
  features: { backchannelLogout: { enabled: true } },
  jwks: { keys: [key(kid)] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
}).callback();

let callback = start('first');
server.on('request', (request, response) => {
  if (request.method === 'POST' && request.url === '/rotate') {
    callback = start('second');
    response.end();
    return;
  }
  callback(request, response);
});
console.log(issuer);
