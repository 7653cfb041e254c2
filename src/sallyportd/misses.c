/* SPDX-License-Identifier: BSD-2-Clause */
#include "sallyportd/misses.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MISSES_MAX 256

struct miss {
	struct acquire_key key;
	uint32_t policy_id;
};

struct misses {
	data_miss *miss;
	void *arg;
	int fd;
	struct event *readable;
	pthread_mutex_t lock;
	struct miss wait[MISSES_MAX];
	size_t n;
};

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct miss taken[MISSES_MAX];
	struct misses *m = arg;
	uint64_t told;
	size_t n;

	(void)what;
	if (read(fd, &told, sizeof(told)) < 0)
		return;
	pthread_mutex_lock(&m->lock);
	n = m->n;
	for (size_t i = 0; i < n; i++)
		taken[i] = m->wait[i];
	m->n = 0;
	pthread_mutex_unlock(&m->lock);
	for (size_t i = 0; i < n; i++)
		m->miss(m->arg, &taken[i].key, taken[i].policy_id);
}

struct misses *misses_new(struct event_base *base, data_miss *miss, void *arg)
{
	struct misses *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->miss = miss;
	m->arg = arg;
	pthread_mutex_init(&m->lock, NULL);
	m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	m->readable =
		m->fd < 0 ? NULL : event_new(base, m->fd, EV_READ | EV_PERSIST, on_readable, m);
	if (m->readable && event_add(m->readable, NULL) == 0)
		return m;
	misses_free(m);
	return NULL;
}

void misses_free(struct misses *m)
{
	if (m->readable)
		event_free(m->readable);
	if (m->fd >= 0)
		close(m->fd);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

void misses_put(struct misses *m, const struct acquire_key *key, uint32_t policy_id)
{
	static const uint64_t one = 1;
	bool first = false;

	pthread_mutex_lock(&m->lock);
	if (m->n < MISSES_MAX) {
		first = m->n == 0;
		m->wait[m->n++] = (struct miss){ *key, policy_id };
	}
	pthread_mutex_unlock(&m->lock);
	if (first && write(m->fd, &one, sizeof(one)) < 0)
		abort(); /* a counter that nobody fills */
}
