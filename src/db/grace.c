/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Grace periods by liburcu's quiescent states. A reader that is not at rest holds a lock for
 * readers, too, which the writer takes to make them stand still. Each state is told to
 * ThreadSanitizer, which does not see into that library: what a reader did before it passed happens
 * before what the writer frees after it has waited.
 */
#include "db/grace.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <urcu/urcu-qsbr.h>

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#define note_passed() __tsan_release(&n_readers)
#define note_waited() __tsan_acquire(&n_readers)
#else
#define note_passed() ((void)0)
#define note_waited() ((void)0)
#endif

struct retired {
	void (*free_it)(void *p);
	void *p;
};

/* Waited for in one go once there are so many. */
#define RETIRED_MAX 65536

static atomic_uint n_readers;
/* Of those that are not at rest; a writer that waits comes before readers that come. */
static pthread_rwlock_t moving = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
/* The writer's. */
static struct retired *retired;
static size_t n_retired, retired_room;
static atomic_uint stopped; /* how often; readers only look whether at all */

void grace_enter(void)
{
	pthread_rwlock_rdlock(&moving);
	urcu_qsbr_register_thread();
	atomic_fetch_add(&n_readers, 1);
}

void grace_leave(void)
{
	note_passed();
	atomic_fetch_sub(&n_readers, 1);
	urcu_qsbr_unregister_thread();
	pthread_rwlock_unlock(&moving);
}

void grace_rest(void)
{
	note_passed();
	urcu_qsbr_thread_offline();
	pthread_rwlock_unlock(&moving);
}

void grace_resume(void)
{
	pthread_rwlock_rdlock(&moving);
	urcu_qsbr_thread_online();
}

void grace_pass(void)
{
	if (atomic_load_explicit(&stopped, memory_order_relaxed)) {
		grace_rest();
		grace_resume();
		return;
	}
	note_passed();
	urcu_qsbr_quiescent_state();
}

void grace_stop(void)
{
	if (atomic_fetch_add(&stopped, 1) == 0)
		pthread_rwlock_wrlock(&moving);
}

void grace_go(void)
{
	assert(atomic_load(&stopped) > 0);
	if (atomic_fetch_sub(&stopped, 1) == 1)
		pthread_rwlock_unlock(&moving);
}

static bool remember(void (*free_it)(void *p), void *p)
{
	if (n_retired == retired_room) {
		size_t room = retired_room ? retired_room * 2 : 64;
		struct retired *wider = realloc(retired, room * sizeof(*retired));

		if (!wider)
			return false;
		retired = wider;
		retired_room = room;
	}
	retired[n_retired++] = (struct retired){ free_it, p };
	return true;
}

void grace_retire(void (*free_it)(void *p), void *p)
{
	if (atomic_load(&n_readers) && n_retired < RETIRED_MAX && remember(free_it, p))
		return;
	grace_wait();
	free_it(p);
}

void grace_wait(void)
{
	if (atomic_load(&n_readers))
		urcu_qsbr_synchronize_rcu();
	note_waited();
	for (size_t i = 0; i < n_retired; i++)
		retired[i].free_it(retired[i].p);
	free(retired);
	retired = NULL;
	n_retired = retired_room = 0;
}
