/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of hosts and services, as the system knows them. Each is asked for once: a
 * text that is read twice means the same both times, and a long list of one name costs
 * one question.
 */
#ifndef SALLYPORT_SCRIPT_NAMES_H
#define SALLYPORT_SCRIPT_NAMES_H

#include "text/parse.h"

/* The callbacks of struct parse_env; arg is not looked at. */
parse_resolve names_resolve;
parse_service names_service;

#endif
