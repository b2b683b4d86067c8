ip address flush dev wlan0
ip address add 192.168.1.23/24 dev wlan0
ip route add default via 192.168.1.1
