/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each lane has an event loop of its own, and nobody else touches it: who has the control writes
 * what is to be done into the lane and wakes it by a descriptor.
 */
#include "sallyportd/lane.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "db/grace.h"
#include "io/routed.h"
#include "sallyportd/data_path.h"

void lane_refill(struct lane *l, size_t used)
{
	l->random_len = crypto_random(l->random, l->random_len ? used : sizeof(l->random))
				? sizeof(l->random)
				: 0;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct lane *l = arg;
	lane_does *does;
	uint64_t n;

	(void)what;
	if (read(fd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&l->lock);
	does = l->does;
	pthread_mutex_unlock(&l->lock);
	if (!does)
		return;
	does(l, l->arg);
	pthread_mutex_lock(&l->lock);
	l->does = NULL;
	pthread_cond_signal(&l->done);
	pthread_mutex_unlock(&l->lock);
}

static bool open_wake(struct lane *l)
{
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->wake = l->wake_fd < 0 ? NULL
				 : event_new(l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l);
	return l->wake && event_add(l->wake, NULL) == 0;
}

bool lane_init(struct lane *l, struct data *d, unsigned number, struct event_base *base)
{
	l->data = d;
	l->number = number;
	l->wake_fd = -1;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->done, NULL);
	l->base = base ? base : event_base_new();
	l->worker = worker_new(d->db);
	l->segments = segments_new();
	l->fragments = fragments_new(d->gathering);
	l->inside = fragments_new(d->gathering_inside);
	lane_refill(l, 0);
	for (size_t i = 0; i < DATA_INTERFACES_MAX; i++)
		l->queues[i] = (struct port_queue){ .lane = l, .port = &d->ports[i] };
	return l->base && l->worker && l->segments && l->fragments && l->inside && l->random_len &&
	       (number == 0 || open_wake(l));
}

static void *run(void *arg)
{
	struct lane *l = arg;
	char name[16];

	snprintf(name, sizeof(name), "worker %u", l->number);
	pthread_setname_np(pthread_self(), name);
	grace_enter();
	grace_rest();
	event_base_dispatch(l->base);
	grace_resume();
	grace_leave();
	return NULL;
}

/* Signals are for the thread that has the control. */
int lane_start(struct lane *l)
{
	sigset_t all, before;
	int err;

	if (l->number == 0)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&l->thread, NULL, run, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	l->runs = err == 0;
	return -err;
}

static void leave_loop(struct lane *l, void *arg)
{
	(void)arg;
	event_base_loopbreak(l->base);
}

void lane_stop(struct lane *l)
{
	if (!l->runs)
		return;
	lane_call(l, leave_loop, NULL);
	pthread_join(l->thread, NULL);
	l->runs = false;
}

void lane_fini(struct lane *l)
{
	if (l->routed)
		routed_close(l->routed);
	if (l->segments)
		segments_free(l->segments);
	if (l->fragments)
		fragments_free(l->fragments);
	if (l->inside)
		fragments_free(l->inside);
	if (l->worker)
		worker_free(l->worker);
	free_event(&l->wake);
	if (l->wake_fd >= 0)
		close(l->wake_fd);
	if (l->number && l->base)
		event_base_free(l->base);
	pthread_cond_destroy(&l->done);
	pthread_mutex_destroy(&l->lock);
	explicit_bzero(l, sizeof(*l));
}

void lane_call(struct lane *l, lane_does *does, void *arg)
{
	static const uint64_t one = 1;

	if (!l->runs) {
		does(l, arg);
		return;
	}
	pthread_mutex_lock(&l->lock);
	l->does = does;
	l->arg = arg;
	if (write(l->wake_fd, &one, sizeof(one)) < 0)
		abort(); /* a counter that nobody fills */
	while (l->does)
		pthread_cond_wait(&l->done, &l->lock);
	pthread_mutex_unlock(&l->lock);
}

/* Who has the control need not be kept from changing what it reads. */
void lane_enter(struct lane *l)
{
	if (l->number)
		grace_resume();
}

void lane_leave(struct lane *l)
{
	if (l->number)
		grace_rest();
}
