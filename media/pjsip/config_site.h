/* PJSIP's compile-time limits for a gateway. Every number here is a ceiling; what a
 * process really opens is decided at run time (UaConfig.maxCalls, MediaConfig.maxMediaPorts). */
#pragma once

/* A failed pj_assert() must come back as an error code, never as abort(): one odd packet
 * may cost its call, not all the others. */
#define NDEBUG 1
#define PJ_DEBUG 0
#define PJ_ENABLE_EXTRA_CHECK 1
#define PJSIP_SAFE_MODULE 0

/* Calls, trunks, ports. pjsua keeps its calls in one static array, so the number of media
 * lines per call is kept small to keep that array small. */
#define PJSUA_MAX_CALLS 4000
#define PJSUA_MAX_ACC 512
#define PJSUA_MAX_CONF_PORTS 8192
#define PJSUA_MAX_PLAYERS 64
#define PJMEDIA_MAX_SDP_MEDIA 6
#define PJMEDIA_MAX_SDP_FMT 64

/* Sockets: two per call (RTP, RTCP), one per SIP connection. epoll, so a large table is cheap. */
#define PJ_IOQUEUE_MAX_HANDLES 12288
#define PJ_IOQUEUE_MAX_EVENTS_IN_SINGLE_POLL 64
#define PJSIP_MAX_TRANSPORTS 4096
#define PJ_HAS_IPV6 1

/* SIP: a burst of INVITEs must find room in the tables and in the kernel. */
#define PJSIP_MAX_TSX_COUNT (32 * 1024 - 1)
#define PJSIP_MAX_DIALOG_COUNT (16 * 1024 - 1)
#define PJSIP_MAX_PKT_LEN 16384
#define PJSIP_UDP_SO_RCVBUF_SIZE (4 * 1024 * 1024)
#define PJSIP_UDP_SO_SNDBUF_SIZE (1024 * 1024)
#define PJSIP_MAX_URL_SIZE 1024
#define PJ_MAX_SOCKOPT_PARAMS 8

/* Codecs: what trunks and softphones really speak. The frame bus works at each codec's own
 * clock rate; Opus runs at 16 kHz because everything behind it does. */
#define PJMEDIA_HAS_OPUS_CODEC 1
#define PJMEDIA_CODEC_OPUS_DEFAULT_SAMPLE_RATE 16000
#define PJMEDIA_HAS_G722_CODEC 1
#define PJMEDIA_HAS_SRTP 1
#define PJMEDIA_HAS_L16_CODEC 0
#define PJMEDIA_HAS_GSM_CODEC 0
#define PJMEDIA_HAS_SPEEX_CODEC 0
#define PJMEDIA_HAS_ILBC_CODEC 0
#define PJMEDIA_HAS_G7221_CODEC 0
#define PJMEDIA_HAS_VIDEO 0

/* Loss concealment holds back this much of every frame, lost or not, to blend at the seams. Not less than
 * the template it searches with (5 ms), or its windows do not fit. */
#define PJMEDIA_WSOLA_DELAY_MSEC 5

/* The bridge is only our clock. The serial backend sends one heart-beat per port and tick
 * from one thread, which is what the frame bus is built on. */
#define PJMEDIA_CONF_BACKEND PJMEDIA_CONF_SERIAL_BRIDGE_BACKEND
