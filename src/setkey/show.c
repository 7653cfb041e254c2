/* SPDX-License-Identifier: BSD-2-Clause */
#include "setkey/show.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "text/print.h"
#include "text/value.h"

/* As /etc/protocols has it; where there is no such file, by the names of the language. */
static const char *proto_name(uint8_t proto)
{
	const struct protoent *e = getprotobynumber(proto);

	return e ? e->p_name : value_proto_name(proto);
}

static struct print_opts print_opts(const struct cli *cli)
{
	return (struct print_opts){ .now_s = (uint64_t)time(NULL),
				    .proto_name = proto_name,
				    .ports = cli->ports };
}

/* A get is shown with number 0, as a setkey that numbers no requests shows it. */
static void show_got(const struct keymsg *m, const struct print_opts *o)
{
	struct keymsg shown = *m;

	shown.seq = 0;
	print_sa(stdout, &shown, o);
}

/* Linux gives policies of sockets numbers whose rest by 8 is 3 or 4; ours have a selector. */
static bool is_of_a_socket(const struct keymsg *m)
{
	return !keymsg_has(m, EXT_ADDRESS_SRC) || !keymsg_has(m, EXT_ADDRESS_DST);
}

static void show_policy(const struct cli *cli, const struct keymsg *m, const struct print_opts *o)
{
	if (!cli->no_sockets || !is_of_a_socket(m))
		print_policy(stdout, m, o);
}

static void show_sa(const struct cli *cli, const struct keymsg *m, const struct print_opts *o)
{
	if (m->sa.state == SA_DEAD && !cli->all)
		return;
	if (cli->repeat)
		print_sa_short(stdout, m, o);
	else
		print_sa(stdout, m, o);
}

void show_entry(const struct cli *cli, const struct keymsg *m)
{
	const struct print_opts o = print_opts(cli);

	if (m->type == KEYMSG_GET || m->type == KEYMSG_GETSPI)
		show_got(m, &o);
	else if (m->type == KEYMSG_SPDDUMP)
		show_policy(cli, m, &o);
	else
		show_sa(cli, m, &o);
}

void show_message(const struct cli *cli, const uint8_t *buf, size_t len)
{
	if (cli->hex)
		print_hex(stdout, buf, len);
	print_fields(stdout, buf, len);
}

/* One that carries an SA or a policy is shown as an answer that does; others field by field. */
static int show_stored(const struct cli *cli, const uint8_t *buf, size_t len)
{
	const struct print_opts o = print_opts(cli);
	struct keymsg m;

	if (keymsg_decode(&m, buf, len) < 0)
		return EINVAL;
	if (cli->verbose || cli->hex)
		show_message(cli, buf, len);
	if (m.errnum)
		printf("%s: %s\n", keymsg_type_name(m.type), strerror(m.errnum));
	else if (keymsg_has(&m, EXT_SA))
		print_sa(stdout, &m, &o);
	else if (keymsg_has(&m, EXT_POLICY))
		print_policy(stdout, &m, &o);
	else if (!cli->verbose && !cli->hex)
		show_message(cli, buf, len);
	return 0;
}

#define HEADER	  16
#define LENGTH_AT 4 /* sadb_msg_len, in units of 8 bytes and host order */

/* The next message into buf; *len is 0 at the end. 0 or an errno. */
static int read_message(FILE *in, uint8_t buf[static KEYMSG_MAX], size_t *len)
{
	size_t got = fread(buf, 1, HEADER, in);
	uint16_t units;

	*len = got;
	if (ferror(in))
		return errno;
	if (got == 0)
		return 0;
	memcpy(&units, buf + LENGTH_AT, sizeof(units));
	*len = (size_t)units * 8;
	if (got < HEADER || *len < HEADER || *len > KEYMSG_MAX)
		return EINVAL;
	if (fread(buf + HEADER, 1, *len - HEADER, in) < *len - HEADER)
		return ferror(in) ? errno : EINVAL;
	return 0;
}

static int show_file(const struct cli *cli, const char *name)
{
	FILE *in = fopen(name, "re");
	uint8_t buf[KEYMSG_MAX];
	size_t len;
	int err = in ? 0 : errno;

	while (!err && !(err = read_message(in, buf, &len)) && len > 0)
		err = show_stored(cli, buf, len);
	if (in)
		fclose(in);
	explicit_bzero(buf, sizeof(buf));
	if (!err)
		return EXIT_SUCCESS;
	fflush(stdout);
	fprintf(stderr, "setkey: %s: %s%s\n", name, strerror(err),
		err == EINVAL ? "; a file without an option is one of PF_KEY messages, "
				"commands are read by -f"
			      : "");
	return EXIT_FAILURE;
}

int show_files(const struct cli *cli)
{
	int status = EXIT_SUCCESS;

	for (char *const *name = cli->files; *name; name++)
		status |= show_file(cli, *name);
	return status;
}
