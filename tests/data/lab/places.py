"""Sites, hosts, MAC and IP addresses, outside servers and names of the lab.

All other modules take their addresses from here.
All outside addresses are documentation ranges (RFC 5737, RFC 3849).
"""

PREFIX = "lw"  # prefix of all namespaces of the lab


class Host:
    def __init__(self, site, name, number, last, lan="lan"):
        self.site, self.name, self.lan = site, name, lan
        self.ns = f"{PREFIX}-{site}-{name}"
        base = SITES[site]
        self.ip = f"{base['net']}.{last}"
        self.mac = "02:%02x:5e:%02x:%02x:%02x" % (base["index"], number * 7 % 256, last, number)


SITES = {
    "home-a": {
        "index": 0xA, "net": "192.168.1", "gw_ns": f"{PREFIX}-home-a-gw",
        "lans": {"lan": {"gw": "192.168.1.1", "bits": 24, "vlan": None, "mac": "02:0a:5e:00:01:01",
                         "range": "192.168.1.10,192.168.1.200",
                         "ula": "fd0a:1a2b:3c4d:1::1", "gua": "2001:db8:a:1::1"}},
        "wan": ("192.0.2.201", "192.0.2.202"), "wan6": ("2001:db8:ff:a::2", "2001:db8:ff:a::1"),
    },
    "home-b": {
        "index": 0xB, "net": "10.20.0", "gw_ns": f"{PREFIX}-home-b-gw",
        "lans": {"lan": {"gw": "10.20.0.1", "bits": 25, "vlan": None, "mac": "02:0b:5e:00:01:01",
                         "range": "10.20.0.10,10.20.0.100",
                         "ula": "fd0b:1a2b:3c4d:1::1", "gua": "2001:db8:b:1::1"},
                 "iot": {"gw": "10.20.0.129", "bits": 25, "vlan": 20, "mac": "02:0b:5e:00:02:01",
                         "range": "10.20.0.140,10.20.0.200",
                         "ula": "fd0b:1a2b:3c4d:2::1", "gua": "2001:db8:b:2::1"}},
        "wan": ("192.0.2.205", "192.0.2.206"), "wan6": ("2001:db8:ff:b::2", "2001:db8:ff:b::1"),
    },
}

HOSTS = {
    "home-a": [Host("home-a", "laptop", 1, 20), Host("home-a", "phone", 2, 21),
               Host("home-a", "tv", 3, 30), Host("home-a", "camera", 4, 40),
               Host("home-a", "plug", 5, 50), Host("home-a", "thermostat", 6, 51),
               Host("home-a", "nas", 7, 60)],
    "home-b": [Host("home-b", "pc", 11, 15), Host("home-b", "tablet", 12, 16),
               Host("home-b", "speaker", 13, 30), Host("home-b", "printer", 14, 60),
               Host("home-b", "meter", 15, 141, "iot"), Host("home-b", "lock", 16, 142, "iot"),
               Host("home-b", "recorder", 17, 143, "iot")],
}

INTERNET = f"{PREFIX}-internet"
# Names of outside servers, resolved by the lab's name server.
NAMES = {
    "www.news.example": "198.51.100.10", "cdn.news.example": "198.51.100.11",
    "www.shop.example": "198.51.100.20", "img.shop.example": "198.51.100.21",
    "mail.example": "198.51.100.25", "search.example": "198.51.100.30",
    "video.example": "203.0.113.30", "edge1.video.example": "203.0.113.31",
    "social.example": "203.0.113.40", "api.social.example": "203.0.113.41",
    "push.phone.example": "203.0.113.50", "music.example": "203.0.113.60",
    "updates.example": "192.0.2.80", "time.example": "192.0.2.123",
    "camera-cloud.example": "198.51.100.60", "mqtt.iot.example": "198.51.100.70",
    "thermo.iot.example": "198.51.100.71", "meter.iot.example": "198.51.100.72",
    "backup.example": "192.0.2.90", "shell.example": "192.0.2.22",
    "files.example": "192.0.2.81", "weather.example": "198.51.100.35",
    # used by the attacks only
    "drop.unknown.example": "203.0.113.99", "panel.unknown.example": "203.0.113.77",
    "victim.example": "203.0.113.120", "game.example": "203.0.113.121",
}
NAMES6 = {name: "2001:db8:100:%x::%x" % tuple(map(int, ip.split(".")[2:])) for name, ip in NAMES.items()
          if name in ("www.news.example", "cdn.news.example", "search.example", "social.example",
                      "music.example", "video.example", "updates.example", "www.shop.example")}
DNS_OUTSIDE = "192.0.2.53"
TUNNEL_DOMAIN, TUNNEL_SERVER = "t.tunnel.example", "203.0.113.53"
TIME_SERVERS = ("192.0.2.123", "192.0.2.124")
TELNET_OUTSIDE = ("198.51.100.140", "198.51.100.177", "203.0.113.200")  # targets of the telnet spread
SCANNED_NETS = ("198.51.100", "203.0.113")  # blackholed except for addresses of servers
MQTT_USER, MQTT_PASSWORD = "device", "correct-horse"


def outside_v4():
    return sorted(set(NAMES.values()) | set(TIME_SERVERS) | set(TELNET_OUTSIDE)
                  | {DNS_OUTSIDE, TUNNEL_SERVER})


def host(site, name):
    return next(h for h in HOSTS[site] if h.name == name)
