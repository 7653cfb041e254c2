/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * States, flags and reserved SPIs of a security association, by PF_KEY's numbers.
 */
#ifndef SALLYPORT_BASE_SA_H
#define SALLYPORT_BASE_SA_H

/* sadb_sa_state: RFC 2367 section 3.2 */
enum sa_state { SA_LARVAL = 0, SA_MATURE = 1, SA_DYING = 2, SA_DEAD = 3 };

/* SPIs 0 to this one are no SA's of AH or ESP: RFC 4302 section 2.4, RFC 4303 section 2.1. */
#define SPI_RESERVED_MAX 255

/* sadb_sa_flags, KAME's bits */
#define SAF_OLD	   0x0001 /* ah-old, esp-old: RFC 1826, RFC 1827 */
#define SAF_IV4B   0x0010 /* des-32iv: four bytes of IV on the wire */
#define SAF_DERIV  0x0020 /* des-deriv: the IV is made from the sequence number */
#define SAF_CYCSEQ 0x0040 /* the sequence number may wrap */
#define SAF_RAWCPI 0x0080 /* the SPI is the CPI on the wire */
#define SAF_PRAND  0x0100 /* random padding */
#define SAF_PZERO  0x0200 /* zero padding; neither: 1, 2, 3, ... */
#define SAF_PMASK  0x0300
#define SAF_ESN	   0x0400 /* 64-bit sequence numbers: RFC 4303 section 2.2.1 */
#define SAF_ALL	   0x0fff

#endif
