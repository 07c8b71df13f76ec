import random, sys, time, xmlrpc.client
node = xmlrpc.client.ServerProxy(f"http://{sys.argv[1]}")
while len(alive := [p["id"] for p in node.game.state()["players"] if p["alive"]]) > 1:
    print(node.game.attack(random.choice(alive)), flush=True)
    time.sleep(1)
