/* The certificate that TLS clients are shown. Only tls.c knows GnuTLS. */
#ifndef RIFT_API_TLS_H
#define RIFT_API_TLS_H

/* TLS 1.2 and 1.3, nothing older. */
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* Read certificate chain and key (PEM); those that were read before stay when
 * it fails, with the reason in `message`. One pair in a process. */
int tls_load(const char *cert_path, const char *key_path, char message[256]);
/* For MHD_OPTION_HTTPS_CERT_CALLBACK: what GnuTLS asks at each handshake. */
void *tls_callback(void);
/* After the last handshake. */
void tls_done(void);

#endif
