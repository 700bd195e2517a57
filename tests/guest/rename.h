/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other names for functions that the guest library and the C library both have. It is included
 * before everything else (-include) when guest code is compiled for the host, so that the tests
 * reach the guest's allocator and string functions and the host keeps its own.
 */
#define calloc	  guest_calloc
#define free	  guest_free
#define malloc	  guest_malloc
#define memchr	  guest_memchr
#define memcmp	  guest_memcmp
#define memcpy	  guest_memcpy
#define memmove	  guest_memmove
#define memset	  guest_memset
#define realloc	  guest_realloc
#define snprintf  guest_snprintf
#define strchr	  guest_strchr
#define strcmp	  guest_strcmp
#define strlen	  guest_strlen
#define strncmp	  guest_strncmp
#define strnlen	  guest_strnlen
#define strrchr	  guest_strrchr
#define strstr	  guest_strstr
#define strtol	  guest_strtol
#define strtoul	  guest_strtoul
#define vsnprintf guest_vsnprintf
