/* With which certificate does riftd answer, and how does a new one come in?
 *
 * GnuTLS asks for it at every handshake, so a certificate that was renewed is
 * shown from the next connection on, without a restart: SIGHUP reads the files
 * again. The one before stays in memory to the end, since a handshake may still
 * be using it; that is a few kilobytes a renewal.
 *
 * The library's callback has no place for a pointer of ours, so the certificate
 * is the process's. */
#include "api/tls.h"
#include "job/job.h"

#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHAIN_MAX        16
#define FILE_LIMIT_BYTES (1 << 20)

struct certificate {
    gnutls_pcert_st chain[CHAIN_MAX];
    unsigned count;
    gnutls_privkey_t key;
    struct certificate *older;
};

static struct certificate *_Atomic shown;

static void certificate_free(struct certificate *certificate)
{
    for (unsigned i = 0; i < certificate->count; i++)
        gnutls_pcert_deinit(&certificate->chain[i]);
    if (certificate->key)
        gnutls_privkey_deinit(certificate->key);
    free(certificate);
}

/* Does the key belong to the certificate? */
static bool pair_fits(struct certificate *certificate)
{
    unsigned char one[64], other[64];
    size_t one_size = sizeof(one), other_size = sizeof(other);
    gnutls_pubkey_t public;

    if (gnutls_pubkey_init(&public) < 0)
        return false;
    bool fits =
        gnutls_pubkey_import_privkey(public, certificate->key, 0, 0) >= 0 &&
        gnutls_pubkey_get_key_id(public, GNUTLS_KEYID_USE_SHA256, one, &one_size) >= 0 &&
        gnutls_pubkey_get_key_id(certificate->chain[0].pubkey, GNUTLS_KEYID_USE_SHA256, other, &other_size) >= 0 &&
        one_size == other_size && !memcmp(one, other, one_size);
    gnutls_pubkey_deinit(public);
    return fits;
}

static int say(char message[256], const char *path, const char *why)
{
    snprintf(message, 256, "%.180s: %.70s", path, why);
    return -EINVAL;
}

/* The file's text. */
static int datum_read(const char *path, gnutls_datum_t *ret, char message[256])
{
    struct fault why = { 0 };
    char *text;
    size_t size;
    int r = file_read(path, FILE_LIMIT_BYTES, &text, &size, &why);

    if (r < 0) {
        snprintf(message, 256, "%.255s", why.message);
        return r;
    }
    *ret = (gnutls_datum_t){ (unsigned char *)text, (unsigned)size };
    return 0;
}

static void datum_done(gnutls_datum_t *datum)
{
    if (datum->data)
        explicit_bzero(datum->data, datum->size);
    free(datum->data);
}

static int certificate_read(const char *cert_path, const char *key_path, struct certificate *certificate,
                            char message[256])
{
    gnutls_datum_t cert __attribute__((cleanup(datum_done))) = { 0 };
    gnutls_datum_t key __attribute__((cleanup(datum_done))) = { 0 };
    unsigned count = CHAIN_MAX;
    int r = datum_read(cert_path, &cert, message);

    if (r >= 0)
        r = datum_read(key_path, &key, message);
    if (r < 0)
        return r;
    r = gnutls_pcert_list_import_x509_raw(certificate->chain, &count, &cert, GNUTLS_X509_FMT_PEM,
                                          GNUTLS_X509_CRT_LIST_FAIL_IF_UNSORTED);
    if (r < 0)
        return say(message, cert_path, gnutls_strerror(r));
    certificate->count = count;
    if (!count)
        return say(message, cert_path, "there is no certificate in it");
    r = gnutls_privkey_init(&certificate->key);
    if (r >= 0)
        r = gnutls_privkey_import_x509_raw(certificate->key, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (r < 0)
        return say(message, key_path, gnutls_strerror(r));
    return pair_fits(certificate) ? 0 : say(message, key_path, "this key is not the certificate's");
}

int tls_load(const char *cert_path, const char *key_path, char message[256])
{
    struct certificate *certificate = calloc(1, sizeof(*certificate));

    if (!certificate) {
        snprintf(message, 256, "out of memory");
        return -ENOMEM;
    }
    int r = certificate_read(cert_path, key_path, certificate, message);
    if (r < 0) {
        certificate_free(certificate);
        return r;
    }
    certificate->older = atomic_load(&shown);
    atomic_store(&shown, certificate);
    return 0;
}

static int choose(gnutls_session_t session, const gnutls_datum_t *names, int name_count,
                  const gnutls_pk_algorithm_t *algorithms, int algorithm_count, gnutls_pcert_st **ret_chain,
                  unsigned *ret_count, gnutls_privkey_t *ret_key)
{
    struct certificate *certificate = atomic_load(&shown);

    (void)session;
    (void)names;
    (void)name_count;
    (void)algorithms;
    (void)algorithm_count;
    *ret_chain = certificate->chain;
    *ret_count = certificate->count;
    *ret_key = certificate->key;
    return 0;
}

void *tls_callback(void)
{
    return (void *)choose;
}

void tls_done(void)
{
    struct certificate *certificate = atomic_exchange(&shown, NULL);

    while (certificate) {
        struct certificate *older = certificate->older;
        certificate_free(certificate);
        certificate = older;
    }
}
