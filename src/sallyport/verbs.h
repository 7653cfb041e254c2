/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verbs of sallyport, a file each. argv[0] is the verb; each answers the exit status.
 */
#ifndef SALLYPORT_SALLYPORT_VERBS_H
#define SALLYPORT_SALLYPORT_VERBS_H

/* The command line, or something that it names, is no good. */
#define EXIT_USAGE 2

int verb_protect(int argc, char **argv);
int verb_decrypt(int argc, char **argv);
int verb_sysctl(int argc, char **argv);
int verb_stats(int argc, char **argv);
int verb_interface(int argc, char **argv);

#endif
