/* SPDX-License-Identifier: BSD-2-Clause */
#include "db/age.h"

static bool past(const struct sa *sa, const struct sa_limits *l, uint64_t now_s)
{
	uint64_t used_s = shared_get(&sa->used_s);

	return (l->add_s && now_s > sa->created_s && now_s - sa->created_s > l->add_s) ||
	       (l->use_s && used_s && now_s > used_s && now_s - used_s > l->use_s) ||
	       (l->bytes && shared_get(&sa->bytes) > l->bytes) ||
	       (l->packets && shared_get(&sa->packets) > l->packets);
}

/* Without anything to send or to check it with, nobody misses it: it goes without notice. */
static bool forgotten(const struct sa *sa, uint32_t larval_s, uint64_t now_s)
{
	return sa->state == SA_LARVAL && now_s > sa->created_s &&
	       now_s - sa->created_s >= larval_s;
}

size_t sad_age(struct sad *sad, uint32_t larval_s, uint64_t now_s, age_expired *expired, void *arg)
{
	struct sa *sa, *next;
	size_t removed = 0;

	for (sa = sad_next_aging(sad, NULL); sa; sa = next) {
		next = sad_next_aging(sad, sa);
		bool hard = past(sa, &sa->hard, now_s);

		if (forgotten(sa, larval_s, now_s) || hard) {
			if (hard && expired)
				expired(arg, sa, true);
			sad_remove(sad, sa);
			removed++;
		} else if (sa->state == SA_MATURE && past(sa, &sa->soft, now_s)) {
			sa->state = SA_DYING;
			if (expired)
				expired(arg, sa, false);
		}
	}
	return removed;
}
