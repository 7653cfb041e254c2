/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sallyportd: the user-space IPsec of a network namespace. Holds the SAD and the
 * SPD, serves the key-management socket, and runs the packets of its interfaces
 * through the engine.
 */
#include <ctype.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/secret.h"
#include "crypto/crypto.h"
#include "db/age.h"
#include "db/acquire.h"
#include "db/db.h"
#include "db/event.h"
#include "db/tunable_file.h"
#include "sallyportd/control.h"
#include "sallyportd/data.h"
#include "sallyportd/ifnets.h"
#include "sallyportd/log.h"
#include "sallyportd/notify.h"

struct options {
	bool foreground;
	bool udp_gso;
	unsigned workers;
	char socket[PATH_MAX];
	const char *driver;
	const char *interfaces[DATA_INTERFACES_MAX];
	unsigned n_interfaces;
	const char *sysctl; /* a file of tunables, or NULL */
	const char *tunnels[IFNETS_MAX]; /* virtual interfaces: NAME,SRC-DST[,REQID] */
	unsigned n_tunnels;
};

struct daemon {
	struct event_base *base;
	struct db db;
	struct acquires acquires;
	struct data *data;
	struct control *control;
	struct event *stop_int, *stop_term, *stop_shut, *counters, *age;
	int second_fd;	/* the timer that age waits for; -1 = none */
	time_t aged_s;	/* when lifetimes were looked at last */
	bool stay_shut; /* told to end for another daemon that follows */
};

static void usage(FILE *out)
{
	fputs("usage: sallyportd [-f] [-s SOCKET] [-i INTERFACE]... [-d DRIVER] [--sysctl FILE]\n"
	      "                  [--udp-gso] [--workers N] [--ipsec-interface NAME,SRC-DST[,REQID]]...\n"
	      "       sallyportd -V\n",
	      out);
}

/* The default socket's folder; a path that the user gave must be there already. */
static bool default_socket(char *path, size_t cap)
{
	char *slash;
	int err = backend_local_path(path, cap);

	if (err < 0) {
		log_line("cannot tell this network namespace: %s", strerror(-err));
		return false;
	}
	slash = strrchr(path, '/');
	*slash = '\0';
	if (mkdir(path, 0755) < 0 && errno != EEXIST) {
		log_line("cannot make %s: %s; choose another place with -s SOCKET", path,
			 strerror(errno));
		return false;
	}
	*slash = '/';
	return true;
}

static bool parse_workers(const char *text, unsigned *workers)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (isdigit((unsigned char)*text) && !*end && !errno && n >= 1 && n <= DATA_WORKERS_MAX) {
		*workers = (unsigned)n;
		return true;
	}
	log_line("--workers %s: it takes a number from 1 to %d", text, DATA_WORKERS_MAX);
	return false;
}

/* Answers -1 to go on, else the exit status. */
static int parse_options(struct options *o, int argc, char **argv)
{
	enum { TUNNEL = 256, UDP_GSO, WORKERS };
	static const struct option longs[] = {
		{ "ipsec-interface", required_argument, NULL, TUNNEL },
		{ "sysctl", required_argument, NULL, 'S' },
		{ "udp-gso", no_argument, NULL, UDP_GSO },
		{ "workers", required_argument, NULL, WORKERS },
		{ 0 },
	};
	const char *path = NULL;
	int c;

	*o = (struct options){ .driver = "auto", .workers = 1 };
	while ((c = getopt_long(argc, argv, "fs:i:d:Vh", longs, NULL)) != -1) {
		switch (c) {
		case 'f':
			o->foreground = true;
			break;
		case 's':
			path = optarg;
			break;
		case 'd':
			o->driver = optarg;
			break;
		case 'S':
			o->sysctl = optarg;
			break;
		case 'i':
			if (o->n_interfaces == DATA_INTERFACES_MAX) {
				log_line("at most %d interfaces", DATA_INTERFACES_MAX);
				return 1;
			}
			o->interfaces[o->n_interfaces++] = optarg;
			break;
		case TUNNEL:
			if (o->n_tunnels == IFNETS_MAX) {
				log_line("at most %d interfaces of tunnels", IFNETS_MAX);
				return 1;
			}
			o->tunnels[o->n_tunnels++] = optarg;
			break;
		case UDP_GSO:
			o->udp_gso = true;
			break;
		case WORKERS:
			if (!parse_workers(optarg, &o->workers))
				return 1;
			break;
		case 'V':
			puts("sallyportd " SALLYPORT_VERSION);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 1;
		}
	}
	if (optind != argc) {
		usage(stderr);
		return 1;
	}
	if (path && strlen(path) >= sizeof(o->socket)) {
		log_line("%s: longer than a path may be", path);
		return 1;
	}
	if (path)
		strcpy(o->socket, path);
	return path || default_socket(o->socket, sizeof(o->socket)) ? -1 : 1;
}

static int on_enforce(void *arg)
{
	return data_enforce(((struct daemon *)arg)->data);
}

static void on_change(void *arg, bool policies)
{
	data_refresh(((struct daemon *)arg)->data, policies);
}

static void on_settled(void *arg)
{
	data_release(((struct daemon *)arg)->data);
}

static void on_totals(void *arg, control_tell *tell, void *tell_arg)
{
	data_tell_counters(((struct daemon *)arg)->data, tell, tell_arg);
}

static void on_stop(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	event_base_loopbreak(((struct daemon *)arg)->base);
}

static void on_stop_shut(evutil_socket_t sig, short what, void *arg)
{
	((struct daemon *)arg)->stay_shut = true;
	on_stop(sig, what, arg);
}

static void on_counters(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	data_log_counters(((struct daemon *)arg)->data);
}

static void on_expired(void *arg, const struct sa *sa, bool hard)
{
	struct daemon *d = arg;
	const struct keymsg m = event_expire(sa, &d->db.tun, hard);

	control_announce(d->control, &m);
}

/* Limits are whole seconds, so once in one is often enough. */
static void age(struct daemon *d)
{
	time_t now = time(NULL);

	if (now == d->aged_s)
		return;
	d->aged_s = now;
	if (sad_age(d->db.sad, d->db.tun.larval_s, (uint64_t)now, on_expired, d) > 0)
		data_refresh(d->data, false);
}

static void on_look(void *arg)
{
	age(arg);
}

static void on_miss(void *arg, const struct acquire_key *key, uint32_t policy_id)
{
	struct daemon *d = arg;
	struct keymsg m;
	uint32_t seq;

	if (!d->control ||
	    !acquire_miss(&d->acquires, &d->db.tun, key, (uint64_t)time(NULL), &seq))
		return;
	m = event_acquire(key, &d->db.tun, policy_id, seq, crypto_provides);
	control_announce(d->control, &m);
	control_flush(d->control);
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;
	uint64_t passed;

	(void)what;
	if (read(fd, &passed, sizeof(passed)) < 0)
		return;
	age(d);
	data_tick(d->data);
	control_flush(d->control);
}

/*
 * Not libevent's timer: by its coarse clock it wakes us too early, and once more some
 * milliseconds later.
 */
static bool watch_lifetimes(struct daemon *d)
{
	const struct itimerspec second = { .it_interval.tv_sec = 1, .it_value.tv_sec = 1 };

	d->second_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (d->second_fd < 0 || timerfd_settime(d->second_fd, 0, &second, NULL) < 0)
		return false;
	d->age = event_new(d->base, d->second_fd, EV_READ | EV_PERSIST, on_second, d);
	return d->age && event_add(d->age, NULL) == 0;
}

static bool ignored(int sig)
{
	struct sigaction now;

	return sigaction(sig, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

/* Under nohup(1), SIGHUP is ignored as it is meant to be. */
static bool watch_hangup(struct daemon *d)
{
	if (ignored(SIGHUP))
		return true;
	d->stop_shut = evsignal_new(d->base, SIGHUP, on_stop_shut, d);
	return d->stop_shut && evsignal_add(d->stop_shut, NULL) == 0;
}

static bool watch_signals(struct daemon *d)
{
	d->stop_int = evsignal_new(d->base, SIGINT, on_stop, d);
	d->stop_term = evsignal_new(d->base, SIGTERM, on_stop, d);
	d->counters = evsignal_new(d->base, SIGUSR1, on_counters, d);
	return d->stop_int && d->stop_term && d->counters && evsignal_add(d->stop_int, NULL) == 0 &&
	       evsignal_add(d->stop_term, NULL) == 0 && evsignal_add(d->counters, NULL) == 0 &&
	       watch_hangup(d);
}

static bool open_interfaces(struct daemon *d, const struct options *o)
{
	for (unsigned i = 0; i < o->n_interfaces; i++) {
		char journal[PATH_MAX + 64];

		snprintf(journal, sizeof(journal), "%s.%s.journal", o->socket, o->interfaces[i]);
		if (data_add_interface(d->data, o->driver, o->interfaces[i], journal) < 0)
			return false;
	}
	return true;
}

static bool take_tunable(void *arg, const struct tunable *t, const char *value,
			 char why[static TUNABLE_WHY_MAX])
{
	return tunable_set(t, arg, value, why);
}

/* Before anything is served or steered; a file that is wrong anywhere ends the start. */
static bool load_tunables(struct daemon *d, const struct options *o)
{
	int err = o->sysctl ? tunable_file(o->sysctl, take_tunable, &d->db.tun, stderr) : 0;

	if (err < 0)
		log_line("cannot read %s: %s", o->sysctl, strerror(-err));
	else if (err)
		log_line("%s is wrong; nothing was started", o->sysctl);
	return err == 0;
}

static void on_interface(void *arg, const struct keymsg *req,
			 void (*reply)(void *to, const struct keymsg *m), void *to)
{
	ifnets_answer(data_ifnets(((struct daemon *)arg)->data), req, reply, to);
}

static void on_tell(void *arg, const struct keymsg *m)
{
	struct daemon *d = arg;

	control_tell_all(d->control, m);
}

static bool open_tunnels(struct daemon *d, const struct options *o)
{
	struct ifnets *f = data_ifnets(d->data);
	char why[IFNETS_WHY_MAX];

	ifnets_tell(f, on_tell, d);
	ifnets_journals(f, o->socket);
	for (unsigned i = 0; i < o->n_tunnels; i++) {
		if (ifnets_make(f, o->tunnels[i], why) < 0) {
			log_line("--ipsec-interface %s: %s", o->tunnels[i], why);
			return false;
		}
	}
	ifnets_say_left(f);
	return true;
}

/* The socket first: it is what keeps a second daemon away from the journals. */
static bool start(struct daemon *d, const struct options *o)
{
	const struct control_calls calls = { on_enforce, on_change,	on_look, on_settled,
					     on_totals,	 on_interface, d };

	d->base = event_base_new();
	if (!d->base || !db_init(&d->db)) {
		log_line("out of memory");
		return false;
	}
	if (!load_tunables(d, o))
		return false;
	d->data = data_new(d->base, &d->db, o->workers, on_miss, d);
	if (!d->data)
		return false;
	if (o->udp_gso)
		data_allow_udp_gso(d->data);
	d->control = control_new(d->base, &d->db, o->socket, &calls);
	if (!d->control)
		return false;
	if (!watch_signals(d) || !watch_lifetimes(d)) {
		log_line("cannot watch signals and time");
		return false;
	}
	/* what the tunables want steered, before there are policies */
	return open_interfaces(d, o) && open_tunnels(d, o) &&
	       (!o->sysctl || data_enforce(d->data) == 0);
}

static void free_event(struct event *e)
{
	if (e)
		event_free(e);
}

static void stop(struct daemon *d, bool clean)
{
	if (d->data)
		data_free(d->data, clean);
	if (d->control)
		control_free(d->control);
	free_event(d->stop_int);
	free_event(d->stop_term);
	free_event(d->stop_shut);
	free_event(d->counters);
	free_event(d->age);
	if (d->second_fd >= 0)
		close(d->second_fd);
	db_fini(&d->db);
	if (d->base)
		event_base_free(d->base);
	libevent_global_shutdown();
}

/* Waits for the child's word that it serves; its exit status is ours if it never says it. */
static int wait_until_served(pid_t child, int ready)
{
	char word;
	int status;

	if (read(ready, &word, 1) == 1)
		return 0;
	if (waitpid(child, &status, 0) < 0 || !WIFEXITED(status))
		return 1;
	return WEXITSTATUS(status);
}

static void leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR);

	log_to_syslog();
	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	if (null > STDERR_FILENO)
		close(null);
}

/* `ready` is told once the socket serves; -1 in the foreground. */
static int serve(const struct options *o, int ready)
{
	struct daemon d = { .second_fd = -1 };
	bool ok = start(&d, o);

	if (ok) {
		log_line("serving %s with %u interface%s", o->socket, o->n_interfaces,
			 o->n_interfaces == 1 ? "" : "s");
		if (ready >= 0) {
			leave_terminal();
			ok = write(ready, "r", 1) == 1;
			close(ready);
		}
		notify("READY=1");
		ok = ok && event_base_dispatch(d.base) == 0;
		notify("STOPPING=1");
	}
	stop(&d, ok && !d.stay_shut);
	return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct options o;
	int pipes[2];
	pid_t child;
	int status = parse_options(&o, argc, argv);

	if (status >= 0)
		return status;
	secret_guard_process();
	signal(SIGPIPE, SIG_IGN);
	if (o.foreground)
		return serve(&o, -1);
	if (pipe2(pipes, O_CLOEXEC) < 0 || (child = fork()) < 0) {
		log_line("cannot go to the background: %s", strerror(errno));
		return 1;
	}
	if (child > 0) {
		close(pipes[1]);
		return wait_until_served(child, pipes[0]);
	}
	close(pipes[0]);
	setsid();
	return serve(&o, pipes[1]);
}
