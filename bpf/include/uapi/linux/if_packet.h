/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Packet sockets: nothing of them is used here. */
