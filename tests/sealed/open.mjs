// Opens a sealed stream of Windlass with nothing but WebCrypto: the same code runs in a browser, where the
// key comes from the URL's fragment and is never sent. The format is drawn in src/seal/mod.rs.
//
// Usage: node open.mjs < request.json, with
// {"identity": "AGE-SECRET-KEY-1…", "run": "…", "attempt": 1, "stream": "logs", "header": BASE64, "frames": [BASE64, …]}
// Prints the opened bytes; anything that does not open is an error.
const subtle = globalThis.crypto.subtle;
const text = (s) => new TextEncoder().encode(s);
const join = (...parts) => Uint8Array.from(parts.flatMap((p) => [...p]));
const unbase64 = (s) => Uint8Array.from(atob(s), (c) => c.charCodeAt(0));

// The 32 bytes of an age key text: bech32 without its six characters of checksum.
const letters = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';
const keyBytes = (key) => {
  const digits = [...key.toLowerCase().slice(key.lastIndexOf('1') + 1, -6)].map((c) => letters.indexOf(c));
  const bits = digits.map((d) => d.toString(2).padStart(5, '0')).join('');
  return Uint8Array.from({ length: 32 }, (_, i) => parseInt(bits.slice(i * 8, i * 8 + 8), 2));
};
const polymod = (values) => values.reduce((c, v) => {
  const top = c >>> 25;
  return [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]
    .reduce((c, g, i) => (top >> i) & 1 ? c ^ g : c, ((c & 0x1ffffff) << 5) ^ v);
}, 1);
// The text `age1…` of a public key.
const recipientText = (bytes) => {
  const bits = [...bytes].map((b) => b.toString(2).padStart(8, '0')).join('') + '0000';
  const digits = Array.from({ length: 52 }, (_, i) => parseInt(bits.slice(i * 5, i * 5 + 5), 2));
  const check = polymod([3, 3, 3, 0, 1, 7, 5, ...digits, 0, 0, 0, 0, 0, 0]) ^ 1;
  return 'age1' + [...digits, ...[25, 20, 15, 10, 5, 0].map((s) => (check >>> s) & 31)].map((d) => letters[d]).join('');
};

// HPKE (RFC 9180), base mode: HKDF gives extract and expand in one call; a bare extract is an HMAC.
const kem = join(text('KEM'), [0, 0x20]);
const suite = join(text('HPKE'), [0, 0x20, 0, 1, 0, 2]);
const none = new Uint8Array();
const labeled = (id, label, data) => join(text('HPKE-v1'), id, text(label), data);
const extract = async (data) => {
  const zero = await subtle.importKey('raw', new Uint8Array(32), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  return new Uint8Array(await subtle.sign('HMAC', zero, data));
};
const derive = async (salt, data, info, length) => {
  const key = await subtle.importKey('raw', data, 'HKDF', false, ['deriveBits']);
  const how = { name: 'HKDF', hash: 'SHA-256', salt, info: join([0, length], info) };
  return new Uint8Array(await subtle.deriveBits(how, key, length * 8));
};
async function unwrap(secret, publicKey, enc, wrapped, context) {
  const other = await subtle.importKey('raw', enc, 'X25519', false, []);
  const dh = new Uint8Array(await subtle.deriveBits({ name: 'X25519', public: other }, secret, 256));
  const shared = await derive(none, labeled(kem, 'eae_prk', dh), labeled(kem, 'shared_secret', join(enc, publicKey)), 32);
  const hash = (label, data) => extract(labeled(suite, label, data));
  const schedule = join([0], await hash('psk_id_hash', none), await hash('info_hash', context));
  const part = (label, length) => derive(shared, labeled(suite, 'secret', none), labeled(suite, label, schedule), length);
  const key = await subtle.importKey('raw', await part('key', 32), 'AES-GCM', false, ['decrypt']);
  return new Uint8Array(await subtle.decrypt({ name: 'AES-GCM', iv: await part('base_nonce', 12) }, key, wrapped));
}

export async function open({ identity, run, attempt, stream, header, frames }) {
  const pkcs8 = join([0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0x22, 4, 0x20], keyBytes(identity));
  const secret = await subtle.importKey('pkcs8', pkcs8, 'X25519', true, ['deriveBits']);
  const publicKey = unbase64((await subtle.exportKey('jwk', secret)).x.replaceAll('-', '+').replaceAll('_', '/'));
  const mine = new Uint8Array(await subtle.digest('SHA-256', text(recipientText(publicKey))));
  const head = unbase64(header);
  if (new TextDecoder().decode(head.slice(0, 8)) !== 'windlass' || head[8] !== 1) throw new Error('not a sealed stream of version 1');
  const entries = Array.from({ length: head[9] * 256 + head[10] }, (_, i) => head.slice(11 + i * 112, 123 + i * 112));
  const entry = entries.find((e) => mine.every((b, i) => e[i] === b));
  if (!entry) throw new Error('not sealed to this key');
  const context = text(['windlass-seal-1', stream, attempt, run].join('\0'));
  const data = await unwrap(secret, publicKey, entry.slice(32, 64), entry.slice(64), context);
  const key = await subtle.importKey('raw', data, 'AES-GCM', false, ['decrypt']);
  const opened = [];
  let last = 0;
  for (const [i, frame] of frames.map(unbase64).entries()) {
    const number = new DataView(frame.buffer).getBigUint64(0);
    if (last || number !== BigInt(i + 1)) throw new Error(`frame ${i + 1} is missing or out of order`);
    last = frame[8];
    const how = { name: 'AES-GCM', iv: join([0, 0, 0, 0], frame.slice(0, 8)), additionalData: join(context, [0], frame.slice(0, 9)) };
    opened.push(new Uint8Array(await subtle.decrypt(how, key, frame.slice(9))));
  }
  if (!last) throw new Error('the stream was cut off');
  return opened;
}

if (globalThis.process?.argv[1]?.endsWith('open.mjs')) {
  let input = '';
  for await (const chunk of process.stdin) input += chunk;
  for (const bytes of await open(JSON.parse(input))) process.stdout.write(bytes);
}
