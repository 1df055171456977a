const MAX_NAMES_CHARS = 200;

const NOT_TLS = 'the receiver does not speak TLS on this port: check the port of the URL';
const TOO_OLD = 'the receiver supports no version of TLS from 1.2 on: enable TLS 1.2 or 1.3';
const NO_CHAIN =
  'the issuer of its certificate is unknown: serve the intermediate certificates with it, from a public certificate authority';
const TOO_WEAK = 'its certificate is too weak: install one with an RSA key of at least 2,048 bits or an elliptic key, signed with SHA-256';
const REFUSED =
  'the receiver refused the handshake: it supports no cipher of TLS 1.2 or 1.3 that is safe, or requires a client certificate';
const CLIENT_REFUSED =
  'the receiver does not accept the client certificate: check clientCertificate, and which authorities the receiver trusts';

/** By the codes of Node and OpenSSL: what is wrong, and what its owner can do. */
const REASONS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'its certificate has expired: renew it',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet: check the dates in it, and the clock of the receiver',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed: install one from a public certificate authority',
  SELF_SIGNED_CERT_IN_CHAIN:
    'its certificate comes from an authority that is not publicly trusted: install one from a public certificate authority',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: NO_CHAIN,
  UNABLE_TO_GET_ISSUER_CERT: NO_CHAIN,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: NO_CHAIN,
  CERT_UNTRUSTED: NO_CHAIN,
  CERT_REVOKED: 'its certificate has been revoked: install a new one',
  CERT_SIGNATURE_FAILURE: 'the signature of its certificate is wrong: install the certificate again, with its chain',
  INVALID_PURPOSE: 'its certificate is not one for servers: install one for TLS servers',
  INVALID_CA: 'a certificate in its chain may not sign others: serve the chain that the authority gave with it',
  CERT_CHAIN_TOO_LONG: 'the chain of its certificate is too long: serve only the intermediate certificates',
  ERR_SSL_EE_KEY_TOO_SMALL: TOO_WEAK,
  ERR_SSL_CA_KEY_TOO_SMALL: TOO_WEAK,
  ERR_SSL_CA_MD_TOO_WEAK: TOO_WEAK,
  ERR_SSL_DH_KEY_TOO_SMALL: 'its Diffie-Hellman parameters are too weak: use at least 2,048 bits',
  ERR_SSL_WRONG_VERSION_NUMBER: NOT_TLS,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: NOT_TLS,
  ERR_SSL_HTTP_REQUEST: NOT_TLS,
  ERR_SSL_UNSUPPORTED_PROTOCOL: TOO_OLD,
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: TOO_OLD,
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: REFUSED,
  ERR_SSL_TLSV1_ALERT_INSUFFICIENT_SECURITY: REFUSED,
  ERR_SSL_TLSV1_UNRECOGNIZED_NAME: 'the receiver serves no such host name: check the URL',
  ERR_SSL_TLSV1_ALERT_UNRECOGNIZED_NAME: 'the receiver serves no such host name: check the URL',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'the receiver requires a client certificate: set clientCertificate and clientKey',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: CLIENT_REFUSED,
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: CLIENT_REFUSED,
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: CLIENT_REFUSED,
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: CLIENT_REFUSED,
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED: CLIENT_REFUSED,
  ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: CLIENT_REFUSED,
  ERR_SSL_TLSV1_ALERT_ACCESS_DENIED: CLIENT_REFUSED,
  ECONNRESET: 'the receiver closed the connection during the handshake',
};

/** What went wrong with TLS, in words for those who run the receiver. */
export function tlsReason(error: NodeJS.ErrnoException): string {
  if (error.code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `${otherNames(error)}: install one that names the host of the URL`;
  const known = REASONS[error.code ?? 'ECONNRESET'];
  return known ?? 'the receiver does not keep to the protocol: check it with "openssl s_client -connect"';
}

/** The names that the certificate is for, as far as the receiver chose to make them short and plain. */
function otherNames(error: Error & { cert?: { subjectaltname?: string } }): string {
  const names = (error.cert?.subjectaltname ?? '').replaceAll(/DNS:|IP Address:/g, '');
  const shown = /^[\w*.:, -]+$/.test(names) ? ` (${names.slice(0, MAX_NAMES_CHARS)})` : '';
  return `its certificate is for other names${shown}`;
}
