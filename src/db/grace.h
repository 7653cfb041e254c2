/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When memory that lookups lend may go: not before every thread that could still hold it
 * has said that it holds nothing (read-copy-update by quiescent states; an adapter to
 * liburcu). One thread changes the databases, the writer; any number of others read them
 * without locks, each of which says so between two bursts.
 *
 * A table makes new memory whole before it publishes the pointer to it, by a release
 * store; readers load it by acquire or consume. What is unlinked is retired, never freed at
 * once. Without readers, as in tools and tests, retired memory is freed on the spot.
 *
 * What cannot be changed in one piece under a reader's eyes, like a transaction or the tunables, is
 * changed while all of them stand still.
 */
#ifndef SALLYPORT_DB_GRACE_H
#define SALLYPORT_DB_GRACE_H

/* A reader begins and ends; between the two it must pass, or be at rest, again and again. */
void grace_enter(void);
void grace_leave(void);
/* The calling reader holds nothing that a lookup has lent it. */
void grace_pass(void);
/* The same for as long as it sleeps: nobody waits for it. It may have to wait to resume. */
void grace_rest(void);
void grace_resume(void);

/*
 * The writer: frees p by free_it once no reader can hold it, at the latest with the next
 * grace_wait(). Without memory to remember it, waits here.
 */
void grace_retire(void (*free_it)(void *p), void *p);
/* Waits until every reader has passed, and frees what was retired. */
void grace_wait(void);
/*
 * Between the two every reader is at rest, having passed, and none resumes. They nest. The
 * writer must not wait meanwhile for anything that a reader does.
 */
void grace_stop(void);
void grace_go(void);

#endif
