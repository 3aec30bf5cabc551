/* Who waits for the disk?
 *
 * A handler that changes something ends with an fsync. In an HTTP thread that
 * would keep waiting every connection of that thread; so the connection is
 * suspended and a clerk runs the handler. The clerks that wait at the same
 * moment share one commit (db/db.c), which is where the many submits a second
 * come from.
 *
 *   HTTP thread: body complete -> suspend, queue           resumed -> send the answer
 *   clerk:                               handler, commit -> resume
 *
 * Whoever is resumed belongs to its HTTP thread again: the clerk must not touch
 * it any more. A resumed connection is still a suspended one to the library until
 * its thread has looked; stopping it earlier would abort, so the last day ends when
 * all are back. */
#include "api/collected.h"

#include <errno.h>
#include <stdlib.h>

#define STACK_BYTES (8 * 1024 * 1024) /* sixteen times eight megabytes would do no harm, but look like it */

static struct exchange *exchange_take(struct clerks *clerks)
{
    struct exchange *exchange;

    pthread_mutex_lock(&clerks->lock);
    while (!clerks->first && clerks->open)
        pthread_cond_wait(&clerks->work, &clerks->lock);
    exchange = clerks->first;
    if (exchange && !(clerks->first = exchange->next))
        clerks->last = &clerks->first;
    pthread_mutex_unlock(&clerks->lock);
    return exchange;
}

static void *clerk_run(void *user)
{
    struct exchange *exchange;

    while ((exchange = exchange_take(user))) {
        exchange->failed = exchange_decide(exchange);
        connection_resume(exchange->request.connection);
    }
    return NULL;
}

int clerks_start(struct clerks *clerks)
{
    pthread_attr_t attributes;
    int r = 0;

    pthread_mutex_init(&clerks->lock, NULL);
    pthread_cond_init(&clerks->work, NULL);
    clerks->last = &clerks->first;
    clerks->open = true;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    while (!r && clerks->count < CLERKS)
        if (!(r = pthread_create(&clerks->threads[clerks->count], &attributes, clerk_run, clerks)))
            clerks->count++;
    pthread_attr_destroy(&attributes);
    return -r;
}

bool clerks_give(struct clerks *clerks, struct exchange *exchange)
{
    pthread_mutex_lock(&clerks->lock);
    bool open = clerks->open;
    if (open) {
        connection_suspend(exchange->request.connection);
        exchange->next = NULL;
        exchange->given = true;
        clerks->given++;
        *clerks->last = exchange;
        clerks->last = &exchange->next;
        pthread_cond_signal(&clerks->work);
    }
    pthread_mutex_unlock(&clerks->lock);
    return open;
}

void clerks_back(struct clerks *clerks, struct exchange *exchange)
{
    if (!exchange->given)
        return;
    exchange->given = false;
    pthread_mutex_lock(&clerks->lock);
    if (!--clerks->given)
        pthread_cond_broadcast(&clerks->work);
    pthread_mutex_unlock(&clerks->lock);
}

void clerks_stop(struct clerks *clerks)
{
    if (!clerks->count) /* never started */
        return;
    pthread_mutex_lock(&clerks->lock);
    clerks->open = false;
    pthread_cond_broadcast(&clerks->work);
    while (clerks->given)
        pthread_cond_wait(&clerks->work, &clerks->lock);
    pthread_mutex_unlock(&clerks->lock);
    while (clerks->count)
        pthread_join(clerks->threads[--clerks->count], NULL);
}
