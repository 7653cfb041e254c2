/* SPDX-License-Identifier: BSD-2-Clause */
#include "capture/capture.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct capture_reader {
	pcap_t *pcap;
};

struct capture_writer {
	pcap_t *kind; /* what libpcap wants to know of the file: link type and resolution */
	pcap_dumper_t *file;
};

static void say(char *error, const char *what)
{
	snprintf(error, CAPTURE_ERROR_MAX, "%s", what);
}

static FILE *open_file(const char *path, const char *mode, FILE *standard, char *error)
{
	FILE *f = strcmp(path, "-") == 0 ? standard : fopen(path, mode);

	if (!f)
		say(error, strerror(errno));
	return f;
}

struct capture_reader *capture_open(const char *path, char error[static CAPTURE_ERROR_MAX])
{
	FILE *file = open_file(path, "rbe", stdin, error);
	struct capture_reader *r = file ? malloc(sizeof(*r)) : NULL;
	char why[PCAP_ERRBUF_SIZE];

	if (file && !r)
		say(error, "no memory");
	if (r) {
		r->pcap = pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO,
								   why);
		if (r->pcap)
			return r;
		snprintf(error, CAPTURE_ERROR_MAX, "%s; pcap and pcapng are what is read", why);
	}
	if (file && file != stdin)
		fclose(file);
	free(r);
	return NULL;
}

int capture_link(const struct capture_reader *r)
{
	return pcap_datalink(r->pcap);
}

int capture_read(struct capture_reader *r, struct capture_frame *f,
		 char error[static CAPTURE_ERROR_MAX])
{
	struct pcap_pkthdr *h;
	const u_char *bytes;

	switch (pcap_next_ex(r->pcap, &h, &bytes)) {
	case 1:
		*f = (struct capture_frame){ .s = (uint64_t)h->ts.tv_sec,
					     .ns = (uint32_t)h->ts.tv_usec,
					     .bytes = bytes,
					     .len = h->caplen,
					     .full_len = h->len };
		return 1;
	case PCAP_ERROR_BREAK:
		return 0;
	default:
		say(error, pcap_geterr(r->pcap));
		return -1;
	}
}

void capture_close(struct capture_reader *r)
{
	if (!r)
		return;
	pcap_close(r->pcap);
	free(r);
}

static void free_writer(struct capture_writer *w)
{
	if (w->kind)
		pcap_close(w->kind);
	free(w);
}

struct capture_writer *capture_create(const char *path, int link,
				      char error[static CAPTURE_ERROR_MAX])
{
	struct capture_writer *w = calloc(1, sizeof(*w));
	FILE *file;

	if (!w) {
		say(error, "no memory");
		return NULL;
	}
	w->kind = pcap_open_dead_with_tstamp_precision(link, CAPTURE_FRAME_MAX,
						       PCAP_TSTAMP_PRECISION_NANO);
	if (!w->kind)
		say(error, "no memory");
	file = w->kind ? open_file(path, "wbe", stdout, error) : NULL;
	if (file && !(w->file = pcap_dump_fopen(w->kind, file))) /* which closes it */
		say(error, pcap_geterr(w->kind));
	if (w->file)
		return w;
	free_writer(w);
	return NULL;
}

void capture_write(struct capture_writer *w, const struct capture_frame *f)
{
	struct pcap_pkthdr h = { .ts = { .tv_sec = (time_t)f->s, .tv_usec = (suseconds_t)f->ns },
				 .caplen = (bpf_u_int32)f->len,
				 .len = (bpf_u_int32)f->full_len };

	pcap_dump((u_char *)w->file, &h, f->bytes);
}

bool capture_finish(struct capture_writer *w, char error[static CAPTURE_ERROR_MAX])
{
	FILE *file = pcap_dump_file(w->file);
	bool ok;

	errno = 0;
	ok = fflush(file) == 0 && !ferror(file);
	if (!ok)
		say(error, errno ? strerror(errno) : "it could not be written");
	if (file != stdout)
		pcap_dump_close(w->file);
	free_writer(w);
	return ok;
}
